"""The cells of a workbook, sheet by sheet. Runs in the process of `workers.extraction.child` only."""

import datetime as dt
import io
import warnings
from typing import Any

import openpyxl

from workers.extraction import rows
from workers.extraction.writing import Writer
from workers.extraction.zips import Zip

LIBRARIES = ("openpyxl", "defusedxml", "lxml.etree", "xml.etree.ElementTree", "zipfile")


def prepare() -> None:
    """What its libraries say of odd files would go nowhere."""
    warnings.simplefilter("ignore")


def read(raw: bytes, told: dict[str, Any], writer: Writer) -> None:  # noqa: ARG001 - a reader's signature
    """Each sheet is a heading and a table, of the values that its formulas had when it was saved."""
    Zip(raw)
    book = openpyxl.load_workbook(io.BytesIO(raw), read_only=True, data_only=True, keep_links=False)
    writer.named(book.properties.title)
    for sheet in book.worksheets:
        cells = ([_shown(value) for value in row] for row in sheet.iter_rows(values_only=True))
        rows.write(cells, writer, title=sheet.title)


def _shown(value: object) -> str:
    """A value as a person would write it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.15g}"
    if isinstance(value, dt.datetime):
        return value.date().isoformat() if value.time() == dt.time() else value.isoformat(" ")
    return str(value)
