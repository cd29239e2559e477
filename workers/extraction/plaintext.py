"""The text of bytes in whatever charset, tidy enough to be stored."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tasks import errors
from tasks.documents import charsets
from tasks.documents.tidying import tidied

# UTF-32 first: its mark begins like that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROLS = bytes(code for code in (*range(32), 127) if code not in b"\t\n\v\f\r\x1b")
_NO_TEXT_IN_A_TEXT = 0.02
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
# How ISO 2022 and HZ go from one set of characters to the next: in ASCII, which is all that their bytes are.
_SHIFTS = re.compile(rb"\x1b[$(]|~\{")
_SAMPLE_BYTES = 65_536

_NOTHING = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f\ufffd\ue000-\uf8ff]")

# The charsets that a guess may come to: those of the web, and the few others that files still are in.
# fmt: off
_GUESSED = (
    "utf-8", "utf-16-be", "utf-16-le", "utf-32-be", "utf-32-le", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254",
    "cp1255", "cp1256", "cp1257", "cp1258", "iso8859-1", "iso8859-2", "iso8859-5", "iso8859-7", "iso8859-8",
    "iso8859-9", "iso8859-15", "koi8-r", "koi8-u", "cp866", "cp874", "tis-620", "big5hkscs", "gb18030", "hz",
    "cp932", "shift_jis_2004", "euc_jis_2004", "iso2022_jp_2", "iso2022_jp_2004", "iso2022_jp_ext", "cp949",
    "euc_kr", "iso2022_kr",
)
# fmt: on
_WESTERN = frozenset({"cp1252", "iso8859-1", "iso8859-15"})
_LATIN = _WESTERN | {"cp1250", "cp1254", "cp1257", "cp1258", "iso8859-2", "iso8859-9"}
# Of names of one charset, all of which read the same here, the one that people know.
_NAMED = {
    "big5hkscs": "big5",
    "euc_jis_2004": "euc_jp",
    "iso2022_jp_2": "iso2022_jp",
    "iso2022_jp_2004": "iso2022_jp",
    "iso2022_jp_ext": "iso2022_jp",
    "shift_jis_2004": "shift_jis",
}
_FEW_BYTES = 5
# How much likelier than a western charset another must be; one of other letters more so. Of 863 texts of 60 to 3,000
# bytes in charsets of others, none is less than 1.57 times as likely; of 480 western ones of a few words, 51 look like
# another, half of them by less.
_LIKELIER, _LIKELIER_OF_FEW, _LIKELIER_OF_OTHERS = 1.5, 3.0, 5.0


@dataclass(frozen=True, slots=True)
class Decoded:
    """A text, the charset that it was read in, and whether that is hardly better than another guess."""

    text: str
    charset: str
    unsure: bool = False


def tidy(text: str) -> str:
    """`tidying.tidied`, never empty. Raises `UnreadableDocument` when it would be."""
    found = tidied(text).strip()
    if not found:
        raise errors.UnreadableDocument("it holds no text")
    return found


def doubts(found: Decoded) -> Iterator[str]:
    """What may be wrong with a text, in sentences."""
    if found.unsure:
        yield f"its charset was guessed: it was read as {found.charset}; say `charset` where that is wrong"
    if lost := found.text.count("\ufffd"):
        yield f"{lost} characters can't be read in its charset, {found.charset}"


def decode(raw: bytes, declared: str | None = None) -> Decoded:
    """The text of bytes in the declared charset, else in the one they most resemble; what is invalid in it is U+FFFD.

    Raises `UnreadableDocument` for what is no text.
    """
    found = decode_fast(raw, declared)
    if found is None:
        charset, unsure = _guessed(raw)
        found = Decoded(raw.decode(charset, "replace"), _NAMED.get(charset, charset), unsure)
    if len(_NOTHING.findall(found.text)) > _NO_TEXT_IN_A_TEXT * len(found.text) + 2:
        raise errors.UnreadableDocument("it isn't text but binary data")
    return found


def decode_fast(raw: bytes, declared: str | None = None) -> Decoded | None:
    """What `decode` gives for bytes whose charset is declared or that are Unicode; None when it has to be guessed."""
    for mark, charset in _MARKS:
        if raw.startswith(mark):
            return Decoded(raw[len(mark) :].decode(charset, "replace"), charset)
    if declared is not None:
        return Decoded(raw.decode(declared, "replace"), declared)
    if len(raw) - len(raw.translate(None, _CONTROLS)) > _NO_TEXT_IN_A_TEXT * len(raw) or _SHIFTS.search(raw):
        return None
    text = raw.decode("utf-8", "replace")
    broken = text.count("\ufffd") - raw.count("\ufffd".encode())
    foreign = len(text) - len(_NOT_ASCII.sub(b"", raw))
    # A UTF-8 text with a few bytes broken or cut off is still that: other charsets give no long valid sequences.
    return Decoded(text, "utf-8") if broken <= (foreign - broken) // 4 else None


def prepare() -> None:
    """Loads what guessing takes, which it finds in files."""
    _guessed("Größe für Äpfel, año".encode("cp1252"))


def _guessed(raw: bytes) -> tuple[str, bool]:
    """The charset that the bytes most resemble, and whether another is nearly as likely."""
    import chardet  # takes long to load, and is hardly ever needed

    first = _NOT_ASCII.search(raw) or _SHIFTS.search(raw)
    begin = max(0, first.start() - _SAMPLE_BYTES // 2) & ~3 if first else 0  # characters have at most 4 bytes
    sample = raw[begin : begin + _SAMPLE_BYTES]
    found = chardet.detect_all(sample, ignore_threshold=True, compat_names=False, include_encodings=_GUESSED)
    name = found[0]["encoding"]
    if name is None:
        raise errors.UnreadableDocument("it isn't text but binary data")
    best = found[0]["confidence"]
    western = max((guess["confidence"] for guess in found if guess["encoding"] in _WESTERN), default=0.0)
    few = len(_NOT_ASCII.findall(sample)) < _FEW_BYTES
    wanted = _LIKELIER_OF_OTHERS if name not in _LATIN else _LIKELIER_OF_FEW if few else _LIKELIER
    unsure = name not in _WESTERN and best < western * wanted
    return charsets.known("cp1252" if unsure else name) or name, unsure
