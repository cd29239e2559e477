"""The text of bytes in whatever charset, tidy enough to be stored."""

import codecs
import re

from tasks import errors

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

_LINE_ENDS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_NO_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")
_BLANK_LINES = re.compile(r"\n{3,}")


def tidy(text: str) -> str:
    """The text with newlines as line ends, at most one blank line at a time, and nothing that isn't text.

    Takes a time in proportion to the text's length, whatever is in it. Raises `UnreadableDocument` when nothing is.
    """
    lines = _NO_TEXT.sub("", _LINE_ENDS.sub("\n", text)).split("\n")
    found = _BLANK_LINES.sub("\n\n", "\n".join(line.rstrip() for line in lines)).strip()
    if not found:
        raise errors.UnreadableDocument("it holds no text")
    return found


def decode(raw: bytes) -> str:
    """The text of bytes in an unknown charset; what is invalid in it is U+FFFD. Raises `UnreadableDocument`."""
    text = decode_unicode(raw)
    return text if text is not None else raw.decode(_detected(raw), "replace")


def decode_unicode(raw: bytes) -> str | None:
    """What `decode` gives for bytes that are Unicode; None when their charset has to be guessed, which may be slow."""
    for mark, charset in _MARKS:
        if raw.startswith(mark):
            return raw[len(mark) :].decode(charset, "replace")
    if len(raw) - len(raw.translate(None, _CONTROLS)) > _CONTROLS_A_TEXT_MAY_HAVE * len(raw):
        raise errors.UnreadableDocument("it isn't text but binary data")
    text = raw.decode("utf-8", "replace")
    broken = text.count("\ufffd") - raw.count("\ufffd".encode())
    foreign = len(text) - len(_NOT_ASCII.sub(b"", raw))
    # A UTF-8 text with a few bytes broken or cut off is still that: other charsets give no long valid sequences.
    return text if broken <= (foreign - broken) // 4 else None


def _detected(raw: bytes) -> str:
    import charset_normalizer  # takes long to load, and is hardly ever needed

    first = _NOT_ASCII.search(raw)
    begin = max(0, first.start() - _SAMPLE_BYTES // 2) if first else 0
    best = charset_normalizer.from_bytes(raw[begin : begin + _SAMPLE_BYTES]).best()
    if best is None:
        raise errors.UnreadableDocument("it isn't text in any charset known here")
    return best.encoding
