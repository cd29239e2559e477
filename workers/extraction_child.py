"""Reads one document in a process of its own: `python -m workers.extraction_child`.

On stdin comes a line of JSON, the kind and the limits, then the document. On stdout goes a line of JSON, then the
text in UTF-8: `{"left_out": pages}`, or `{"code", "message"}` of what is wrong with the document.
"""

import codecs
import io
import json
import logging
import re
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any

from tasks import errors

Told = dict[str, Any]

# UTF-32 first: its mark begins like that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROLS = bytes(code for code in (*range(32), 127) if code not in b"\t\n\v\f\r\x1b")
_CONTROLS_A_TEXT_MAY_HAVE = 0.02
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
_SAMPLE_BYTES = 65_536

_DECLARED = re.compile(rb"""<meta[^>]{0,200}charset\s{0,9}=\s{0,9}["']?\s{0,9}(?!utf-?8)[\w-]""", re.IGNORECASE)
_DECLARED_WITHIN = 1_024  # WHATWG HTML, section 4.2.5.4

_LINE_ENDS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_NO_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")
_TRAILING = re.compile(r"[^\S\n]+(?=\n)")
_BLANK_LINES = re.compile(r"\n{3,}")


def main() -> None:
    """Answers for one document."""
    told = json.loads(sys.stdin.buffer.readline())
    _bound(told)
    read = _READERS[told["kind"]]
    try:
        text, left_out = read(sys.stdin.buffer.read(), told)
        if len(text) > told["characters"]:
            raise errors.DocumentTooLarge(f"it has more than {told['characters']} characters of text")
        text = tidy(text)
        if not text:
            raise errors.UnreadableDocument("it holds no text")
        _answer({"left_out": left_out}, text)
    except errors.JobError as error:
        _answer({"code": error.code, "message": str(error)})
    except MemoryError:
        limit = f"{told['memory_bytes'] >> 20} MiB"
        _answer({"code": errors.UnreadableDocument.code, "message": f"it couldn't be read with {limit} of memory"})
    except Exception as error:  # noqa: BLE001 - there is no end to what the libraries raise for damaged files
        _answer({"code": errors.UnreadableDocument.code, "message": _damaged(told["kind"], error)})


def _bound(told: Told) -> None:
    """Takes from this process what reading a document doesn't need."""
    if sys.platform != "darwin":  # macOS refuses any such limit (EINVAL)
        resource.setrlimit(resource.RLIMIT_AS, (told["memory_bytes"], told["memory_bytes"]))
    resource.setrlimit(resource.RLIMIT_CPU, (told["cpu_s"], told["cpu_s"] + 1))
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC):
        resource.setrlimit(limit, (0, 0))
    signal.alarm(int(told["wall_s"]) + 5)  # for a parent that can't end us any more
    logging.disable()


def _answer(head: Told, text: str = "") -> None:
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + text.encode())
    sys.stdout.buffer.flush()


def _damaged(kind: str, error: Exception) -> str:
    reason = " ".join(str(error).split())[:200]
    return f"it can't be read as {kind}: {reason or type(error).__name__}"


def tidy(text: str) -> str:
    """The text with newlines as line ends, at most one blank line at a time, and nothing that isn't text."""
    text = _NO_TEXT.sub("", _LINE_ENDS.sub("\n", text))
    return _BLANK_LINES.sub("\n\n", _TRAILING.sub("", text)).strip()


def decode(raw: bytes) -> str:
    """The text of bytes in an unknown charset; what is invalid in it is U+FFFD. Raises `UnreadableDocument`."""
    for mark, charset in _MARKS:
        if raw.startswith(mark):
            return raw[len(mark) :].decode(charset, "replace")
    if len(raw) - len(raw.translate(None, _CONTROLS)) > _CONTROLS_A_TEXT_MAY_HAVE * len(raw):
        raise errors.UnreadableDocument("it isn't text but binary data")
    text = raw.decode("utf-8", "replace")
    broken = text.count("\ufffd") - raw.count("\ufffd".encode())
    foreign = len(text) - len(_NOT_ASCII.sub(b"", raw))
    # A UTF-8 text with a few bytes broken or cut off is still that: other charsets give no long valid sequences.
    return text if broken <= (foreign - broken) // 4 else raw.decode(_detected(raw), "replace")


def _detected(raw: bytes) -> str:
    import charset_normalizer

    first = _NOT_ASCII.search(raw)
    begin = max(0, first.start() - _SAMPLE_BYTES // 2) if first else 0
    best = charset_normalizer.from_bytes(raw[begin : begin + _SAMPLE_BYTES]).best()
    if best is None:
        raise errors.UnreadableDocument("it isn't text in any charset known here")
    return best.encoding


def _read_text(raw: bytes, told: Told) -> tuple[str, int]:  # noqa: ARG001 - a reader's signature
    return decode(raw), 0


def _read_html(raw: bytes, told: Told) -> tuple[str, int]:
    from workers import extraction_html

    if not _is_utf8(raw) and _DECLARED.search(raw, 0, _DECLARED_WITHIN):
        return extraction_html.from_declared(raw, told["characters"]), 0
    return extraction_html.from_text(decode(raw), told["characters"]), 0


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _read_pdf(raw: bytes, told: Told) -> tuple[str, int]:
    """The text of the pages, and how many had to be left out because only they can't be read."""
    import pypdf

    pypdf.overwrite_configuration(jbig2dec_binary=None)
    reader = pypdf.PdfReader(io.BytesIO(raw))
    if reader.is_encrypted and not _unlocked(reader):
        raise errors.UnreadableDocument("it is encrypted")
    pages = len(reader.pages)
    if pages > told["pages"]:
        raise errors.DocumentTooLarge(f"it has {pages} pages, more than {told['pages']}")
    texts: list[str] = []
    damages: list[Exception] = []
    characters = 0
    for page in reader.pages:
        try:
            texts.append(page.extract_text())
        except Exception as error:  # noqa: BLE001 - as in `main`; the other pages may be whole
            damages.append(error)
            continue
        characters += len(texts[-1])
        if characters > told["characters"]:
            raise errors.DocumentTooLarge(f"it has more than {told['characters']} characters of text")
    text = "\n\n".join(texts)
    if not text.strip():
        raise errors.UnreadableDocument(
            _damaged("pdf", damages[0]) if damages else "its pages hold no text; scanned ones are images"
        )
    return text, len(damages)


def _unlocked(reader: Any) -> bool:
    """Whether the document opens without a password, as those that only forbid printing do."""
    from pypdf.errors import DependencyError

    try:
        return bool(reader.decrypt(""))
    except (DependencyError, NotImplementedError):  # a cipher that would need another library
        return False


_READERS: dict[str, Callable[[bytes, Told], tuple[str, int]]] = {
    "text": _read_text,
    "markdown": _read_text,
    "html": _read_html,
    "pdf": _read_pdf,
}

if __name__ == "__main__":
    main()
