"""The text of a mail (RFC 5322): who wrote what to whom, and the texts that came with it."""

from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from typing import Any

from tasks import errors
from tasks.documents import charsets, tidying
from workers.extraction import html, plaintext
from workers.extraction.writing import Writer

LIBRARIES = (*html.LIBRARIES, "email")

_HEADERS = ("From", "To", "Cc", "Date")
_DEEPEST = 5  # mails in mails


def prepare() -> None:
    html.prepare()


def read(raw: bytes, told: dict[str, Any], writer: Writer) -> None:  # noqa: ARG001 - a reader's signature
    """The subject is a heading; then the head, the body that is meant for reading, and the attached texts."""
    mail = message_from_bytes(raw, policy=policy.default)
    if not any(name in mail for name in (*_HEADERS, "Subject", "Received", "Message-ID")):
        raise errors.UnreadableDocument("it can't be read as eml: it has no head of a mail")
    writer.named(_header(mail, "Subject"))
    _write(mail, writer, 1)


def _write(mail: Message, writer: Writer, depth: int) -> None:
    writer.heading(min(depth, 6), _header(mail, "Subject"))
    for name in _HEADERS:
        if value := _header(mail, name):
            writer.line(f"{name}: {value}")
    body = mail.get_body(("plain", "html")) if isinstance(mail, EmailMessage) else None
    if body is not None:
        _write_text(body, writer)
    for part in _others(mail, body):
        _write_attached(part, writer, depth)


def _others(mail: Message, body: Message | None) -> Iterator[Message]:
    """The parts that are attached, not other forms of the body."""
    if isinstance(mail, EmailMessage):
        yield from (part for part in mail.iter_attachments() if part is not body)


def _write_attached(part: Message, writer: Writer, depth: int) -> None:
    name = part.get_filename() or part.get_content_type()
    inner = part.get_payload(0) if part.get_content_type() == "message/rfc822" else None
    if isinstance(inner, Message) and depth < _DEEPEST:
        _write(inner, writer, depth + 1)
    elif part.get_content_maintype() == "text":
        writer.heading(min(depth + 1, 6), name)
        _write_text(part, writer)
    else:
        writer.warn(f"what is attached as {name} wasn't read")


def _write_text(part: Message, writer: Writer) -> None:
    raw = part.get_payload(decode=True)
    if not isinstance(raw, bytes):
        return
    found = plaintext.decode(raw, charsets.known(str(part.get_param("charset", ""))))
    writer.charset = writer.charset or found.charset
    if part.get_content_type() == "text/html":
        html.write(found.text, writer, whole=True)
        return
    for paragraph in tidying.tidied(found.text).split("\n\n"):
        writer.block(paragraph)


def _header(mail: Message, name: str) -> str:
    return " ".join(str(mail.get(name, "")).split())
