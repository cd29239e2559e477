"""Texts as they are kept, from whatever source: what stands where in one is counted in this form."""

import re
import unicodedata
from collections.abc import Iterator

_LINE_ENDS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_NO_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\ud800-\udfff\ufeff\ufffe\uffff]")
_BLANK_LINES = re.compile(r"\n{3,}")
_LIGATURES = {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"}
_LIGATURE = re.compile("[\ufb00-\ufb06]")
_COMPOSED_AT_ONCE = 256


def tidied(text: str) -> str:
    """The text with newlines as line ends, at most one blank line at a time, and nothing that isn't text.

    Characters are composed (NFC), and the ligatures that printers use are letters. Takes a time in proportion to the
    text's length, whatever is in it.
    """
    lines = composed(_NO_TEXT.sub("", _LINE_ENDS.sub("\n", text))).split("\n")
    return _BLANK_LINES.sub("\n\n", "\n".join(line.rstrip() for line in lines))


def composed(text: str) -> str:
    """The text in NFC, but for ligatures of Latin letters, which it is better found without."""
    if text.isascii():
        return text
    text = _LIGATURE.sub(lambda found: _LIGATURES[found[0]], text)
    return "".join(unicodedata.normalize("NFC", part) for part in _parts(text))


def _parts(text: str) -> Iterator[str]:
    """The text in parts that are composed each for itself: of a million marks on one letter, the order would take the
    square."""
    begin = 0
    while begin < len(text):
        end = begin + _COMPOSED_AT_ONCE
        while end < min(len(text), begin + 2 * _COMPOSED_AT_ONCE) and not _stands_alone(text[end]):
            end += 1
        yield text[begin:end]
        begin = end


def _stands_alone(character: str) -> bool:
    """Whether it never joins the character before it."""
    return character.isascii() or (unicodedata.category(character)[0] != "M" and not "\u1160" <= character <= "\u11ff")
