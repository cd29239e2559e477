"""The text of a Word document (ECMA-376, WordprocessingML). Runs in the process of `workers.extraction.child` only."""

from collections.abc import Iterator
from typing import Any

from tasks import errors
from workers.extraction import xmltree
from workers.extraction.writing import Writer
from workers.extraction.xmltree import Element
from workers.extraction.zips import Zip

LIBRARIES = ("lxml.etree", "zipfile")

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_MATH_TEXT = "{http://schemas.openxmlformats.org/officeDocument/2006/math}t"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_IMAGE = "{http://schemas.openxmlformats.org/drawingml/2006/main}blip"
_P, _TABLE, _ROW, _CELL, _BOX = (f"{_W}{tag}" for tag in ("p", "tbl", "tr", "tc", "txbxContent"))
_SIGNS = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "-"}
_ELSEWHERE = frozenset({_FALLBACK, _BOX, f"{_W}pPr", f"{_W}rPr", f"{_W}del"})


def prepare() -> None:
    """Nothing is read from files."""


def read(raw: bytes, told: dict[str, Any], writer: Writer) -> None:  # noqa: ARG001 - a reader's signature
    """Headings, paragraphs, lists and tables in order, then the notes at the feet of pages."""
    archive = Zip(raw)
    part = xmltree.main_part(archive)
    targets = {what: target for what, _, target in xmltree.relations(archive, part)}
    styles = targets.get("styles", "")
    levels = _levels(xmltree.parsed(archive.read(styles))) if archive.has(styles) else {}
    writer.named(xmltree.title(archive))
    root = xmltree.parsed(archive.read(part))
    body = root.find(f"{_W}body")
    if body is None:
        raise errors.UnreadableDocument("it can't be read as docx: it has no body")
    _write(body, levels, writer)
    for what in ("footnotes", "endnotes"):
        if archive.has(notes := targets.get(what, "")):
            for note in xmltree.parsed(archive.read(notes)).iter(f"{_W}footnote", f"{_W}endnote"):
                writer.block(" ".join(_text(paragraph) for paragraph in note.iter(_P)))
    if images := sum(1 for _ in root.iter(_IMAGE)):
        writer.warn(f"{images} images in it weren't read")


def _levels(styles: Element) -> dict[str, int]:
    """The level of each style, by its id, that is a heading's."""
    found: dict[str, int] = {}
    for style in styles.iter(f"{_W}style"):
        name = style.find(f"{_W}name")
        called = (name.get(f"{_W}val", "") if name is not None else "").lower()
        outline = style.find(f"{_W}pPr/{_W}outlineLvl")
        if called == "title":
            level = 1
        elif called.startswith("heading ") and called[8:].isdecimal():
            level = int(called[8:10])
        elif outline is not None and outline.get(f"{_W}val", "").isdecimal():
            level = int(outline.get(f"{_W}val", "9")) + 1
        else:
            continue
        if 1 <= level <= 9:
            found[style.get(f"{_W}styleId", "")] = min(level, 6)
    return found


def _write(parent: Element, levels: dict[str, int], writer: Writer) -> None:
    for element in parent:
        if element.tag == _P:
            _write_paragraph(element, levels, writer)
        elif element.tag == _TABLE:
            _write_table(element, levels, writer)
        elif element.tag not in _ELSEWHERE:
            _write(element, levels, writer)


def _write_paragraph(paragraph: Element, levels: dict[str, int], writer: Writer) -> None:
    text = _text(paragraph)
    style = paragraph.find(f"{_W}pPr/{_W}pStyle")
    level = levels.get(style.get(f"{_W}val", ""), 0) if style is not None else 0
    if level:
        writer.heading(level, text)
    elif paragraph.find(f"{_W}pPr/{_W}numPr") is not None:
        writer.line(text)
    else:
        writer.block(text)
    for box in _boxes(paragraph):
        _write(box, levels, writer)


def _write_table(table: Element, levels: dict[str, int], writer: Writer) -> None:
    """Rows of cells; a table of one cell is a frame around what is in it."""
    rows = [list(row.iter(_CELL)) for row in table.iter(_ROW)]
    if all(len(cells) < 2 for cells in rows):
        for cells in rows:
            for cell in cells:
                _write(cell, levels, writer)
        return
    written = writer.table()
    for number, cells in enumerate(rows):
        written.row([" ".join(_text(paragraph) for paragraph in cell.iter(_P)) for cell in cells], header=number == 0)


def _text(element: Element) -> str:
    return "".join(_texts(element))


def _texts(element: Element) -> Iterator[str]:
    for child in element:
        if child.tag in (f"{_W}t", _MATH_TEXT):
            yield child.text or ""
        elif child.tag in _SIGNS:
            yield _SIGNS[child.tag]
        elif child.tag not in _ELSEWHERE:
            yield from _texts(child)


def _boxes(paragraph: Element) -> Iterator[Element]:
    """The text boxes that hang on a paragraph; what older programs are told instead is left out."""
    for child in paragraph:
        if child.tag == _BOX:
            yield child
        elif child.tag != _FALLBACK:
            yield from _boxes(child)
