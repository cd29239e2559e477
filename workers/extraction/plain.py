"""Texts that somebody wrote as they are: plain, in Markdown or in reStructuredText."""

from tasks.documents.marks import Extracted
from tasks.documents.outline import outline
from workers.extraction import plaintext
from workers.extraction.plaintext import Decoded
from workers.extraction.writing import Writer

LIBRARIES = ("chardet",)


def prepare() -> None:
    plaintext.prepare()


def read(raw: bytes, told: dict[str, object], writer: Writer) -> None:
    """The text, whose marks are what is written in it."""
    charset = told["charset"]
    found = shown(plaintext.decode(raw, str(charset) if charset else None), str(told["kind"]))
    writer.charset = found.charset
    for sentence in found.warnings:
        writer.warn(sentence)
    writer.take(found.text, found.marks)


def shown(found: Decoded, kind: str) -> Extracted:
    """A text as it is kept. Raises `UnreadableDocument` when there is none."""
    text = plaintext.tidy(found.text)
    return Extracted(text, outline(text, kind), found.charset, None, tuple(plaintext.doubts(found)))
