"""The names of charsets: what clients may declare a text to be in, and what we say it was read in."""

import codecs
import re

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,39}")
# What Python calls by names of its own, of the names in the WHATWG's Encoding Standard.
_ALIASES = {"windows-874": "cp874", "iso-8859-8-i": "iso8859-8", "ks-c-5601-1987": "cp949"}
# Ways of writing text down that no file is in, some of which take the square of its length to read.
_NO_CHARSETS = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "charmap", "utf-7"})
# Where a charset has a later one that differs in what the earlier doesn't define, files said to be in the one are in
# the other, as browsers have it.
_LATER = {
    "ascii": "cp1252",
    "big5": "big5hkscs",
    "euc_kr": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "shift_jis": "cp932",
    "tis-620": "cp874",
}


def known(name: str) -> str | None:
    """Our name of the charset that somebody calls so; None for what is none, or isn't known here."""
    if not _NAME.fullmatch(name):
        return None
    name = name.lower().replace("_", "-").removeprefix("x-")
    try:
        found = codecs.lookup(_ALIASES.get(name, name))
    except LookupError:
        return None
    if not found._is_text_encoding or found.name.replace("_", "-") in _NO_CHARSETS:
        return None
    return _LATER.get(found.name, found.name)
