"""XML of strangers, parsed without what it may refer to: no entity is resolved, no file or address opened."""

from collections.abc import Iterator
from posixpath import dirname, join, normpath
from typing import Any, TypeAlias

from lxml import etree

from tasks import errors
from workers.extraction.zips import Zip

Element: TypeAlias = Any  # lxml says nothing of its types

_RELATIONS = "{http://schemas.openxmlformats.org/package/2006/relationships}Relationship"
_TITLE = "{http://purl.org/dc/elements/1.1/}title"


def parsed(raw: bytes) -> Element:
    """The tree's root; it is at most 256 deep. Raises `UnreadableDocument`."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(raw, parser)
    except etree.XMLSyntaxError as error:
        raise errors.UnreadableDocument(f"its XML is damaged: {str(error)[:200]}") from error
    if root is None:
        raise errors.UnreadableDocument("its XML is empty")
    return root


def relations(archive: Zip, part: str) -> Iterator[tuple[str, str, str]]:
    """The parts of an office file that a part refers to: as what (the end of its type), by which id, and its name."""
    folder, _, name = part.rpartition("/")
    source = join(folder, "_rels", f"{name}.rels")
    if not archive.has(source):
        return
    for element in parsed(archive.read(source)).iter(_RELATIONS):
        if element.get("TargetMode") != "External":
            target = normpath(join("/", dirname(part), element.get("Target", ""))).lstrip("/")
            yield element.get("Type", "").rsplit("/", 1)[-1], element.get("Id", ""), target


def main_part(archive: Zip) -> str:
    """The name of the part in which an office file begins."""
    for what, _, target in relations(archive, ""):
        if what == "officeDocument":
            return target
    raise errors.UnreadableDocument("it is damaged, or isn't what its name says")


def title(archive: Zip) -> str | None:
    """What an office file says that it is called."""
    if not archive.has("docProps/core.xml"):
        return None
    return next((element.text for element in parsed(archive.read("docProps/core.xml")).iter(_TITLE)), None)
