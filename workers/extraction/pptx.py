"""The text of slides (ECMA-376, PresentationML). Runs in the process of `workers.extraction.child` only."""

from typing import Any

from tasks import errors
from workers.extraction import xmltree
from workers.extraction.writing import Writer
from workers.extraction.xmltree import Element
from workers.extraction.zips import Zip

LIBRARIES = ("lxml.etree", "zipfile")

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_TITLES = frozenset({"title", "ctrTitle"})
_RUNNING = frozenset({"sldNum", "dt", "ftr", "hdr", "sldImg"})


def prepare() -> None:
    """Nothing is read from files."""


def read(raw: bytes, told: dict[str, Any], writer: Writer) -> None:
    """Each slide is a page: its title, then what else is on it, then its notes."""
    archive = Zip(raw)
    part = xmltree.main_part(archive)
    writer.named(xmltree.title(archive))
    targets = {id_: target for _, id_, target in xmltree.relations(archive, part)}
    slides = [slide.get(_ID, "") for slide in xmltree.parsed(archive.read(part)).iter(f"{_P}sldId")]
    if len(slides) > told["pages"]:
        raise errors.DocumentTooLarge(f"it has {len(slides)} slides, more than {told['pages']}")
    images = 0
    for slide in slides:
        writer.page()
        images += _write_slide(archive, targets.get(slide, ""), writer)
    if images:
        writer.warn(f"{images} images in it weren't read")


def _write_slide(archive: Zip, part: str, writer: Writer) -> int:
    """Writes a slide; how many images are on it."""
    root = xmltree.parsed(archive.read(part))
    shapes = [(shape, _place(shape)) for shape in root.iter(f"{_P}sp", f"{_A}tbl")]
    for shape, place in shapes:
        if place in _TITLES:
            writer.heading(1, " ".join(_paragraphs(shape)))
    for shape, place in shapes:
        if shape.tag == f"{_A}tbl":
            _write_table(shape, writer)
        elif place not in _TITLES | _RUNNING:
            writer.block("\n".join(_paragraphs(shape)))
    for what, _, target in xmltree.relations(archive, part):
        if what == "notesSlide" and archive.has(target):
            for note in xmltree.parsed(archive.read(target)).iter(f"{_P}sp"):
                if _place(note) not in _RUNNING:
                    writer.block("\n".join(_paragraphs(note)))
    return sum(1 for _ in root.iter(f"{_P}pic"))


def _place(shape: Element) -> str:
    """What a shape is there for, as the slide's layout names it."""
    place = next(shape.iter(f"{_P}ph"), None)
    return place.get("type", "") if place is not None else ""


def _write_table(table: Element, writer: Writer) -> None:
    written = writer.table()
    for number, row in enumerate(table.iter(f"{_A}tr")):
        written.row([" ".join(_paragraphs(cell)) for cell in row.iter(f"{_A}tc")], header=number == 0)


def _paragraphs(shape: Element) -> list[str]:
    return [_text(paragraph) for paragraph in shape.iter(f"{_A}p")]


def _text(paragraph: Element) -> str:
    parts = paragraph.iter(f"{_A}t", f"{_A}br", f"{_A}tab")
    return "".join((part.text or "") if part.tag == f"{_A}t" else " " for part in parts)
