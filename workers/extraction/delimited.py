"""Tables as text: values between commas, semicolons, tabs or bars."""

import csv
import io
from collections import Counter
from itertools import islice
from typing import Any

from workers.extraction import plaintext, rows
from workers.extraction.writing import Writer

LIBRARIES = ("chardet",)

_DELIMITERS = ",;\t|"
_LOOKED_AT = 100  # rows, in as many characters as here:
_LOOKED_AT_CHARACTERS = 65_536


def prepare() -> None:
    plaintext.prepare()


def read(raw: bytes, told: dict[str, Any], writer: Writer) -> None:
    """Each row is a table's; what parts its values is what parts most rows into equally many."""
    found = plaintext.decode(raw, told["charset"])
    writer.charset = found.charset
    for sentence in plaintext.doubts(found):
        writer.warn(sentence)
    csv.field_size_limit(told["characters"] + 1)
    text = found.text.replace("\0", "")
    delimiter = "\t" if told["kind"] == "tsv" else delimiter_of(text)
    rows.write(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), writer)


def delimiter_of(text: str) -> str:
    """What stands between the values of a text's rows: a comma where nothing tells."""
    sample = text[:_LOOKED_AT_CHARACTERS]
    best, most = ",", 0
    for delimiter in _DELIMITERS:
        parted = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
        counts = Counter(len(row) for row in islice(parted, _LOOKED_AT))
        width, times = max(((width, times) for width, times in counts.items() if width > 1), default=(0, 0),
                           key=lambda pair: (pair[1], pair[0]))  # fmt: skip
        if times * 1_000 + min(width, 999) > most:
            best, most = delimiter, times * 1_000 + min(width, 999)
    return best
