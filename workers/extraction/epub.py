"""The text of an EPUB, chapter by chapter. Runs in the process of `workers.extraction.child` only."""

from posixpath import dirname, join, normpath
from typing import Any
from urllib.parse import unquote

from tasks import errors
from workers.extraction import html, plaintext, xmltree
from workers.extraction.writing import Writer
from workers.extraction.zips import Zip

LIBRARIES = (*html.LIBRARIES, "lxml.etree", "zipfile")

_CONTAINER, _ENCRYPTION = "META-INF/container.xml", "META-INF/encryption.xml"
_FILE = "{urn:oasis:names:tc:opendocument:xmlns:container}rootfile"
_OPF = "{http://www.idpf.org/2007/opf}"
_TITLE = "{http://purl.org/dc/elements/1.1/}title"
_CIPHER = "{http://www.w3.org/2001/04/xmlenc#}CipherReference"
_TEXTS = ("application/xhtml+xml", "text/html")


def prepare() -> None:
    html.prepare()


def read(raw: bytes, told: dict[str, Any], writer: Writer) -> None:  # noqa: ARG001 - a reader's signature
    """The chapters in the order in which they are to be read."""
    archive = Zip(raw)
    file = next(xmltree.parsed(archive.read(_CONTAINER)).iter(_FILE), None)
    package = file.get("full-path", "") if file is not None else ""
    root = xmltree.parsed(archive.read(package))
    writer.named(next((element.text for element in root.iter(_TITLE)), None))
    items = {item.get("id"): item for item in root.iter(f"{_OPF}item")}
    hidden = _encrypted(archive)
    for place in root.iter(f"{_OPF}itemref"):
        item = items.get(place.get("idref"))
        if item is None or item.get("media-type") not in _TEXTS:
            continue
        name = normpath(join(dirname(package), unquote(item.get("href", ""))))
        if name in hidden:
            raise errors.UnreadableDocument("it is encrypted")
        if archive.has(name):
            html.write(plaintext.decode(archive.read(name)).text, writer, whole=True)
        else:
            writer.warn(f"its chapter {name} is missing")


def _encrypted(archive: Zip) -> frozenset[str]:
    """The names of what is encrypted: in many books that can be read it is fonts."""
    if not archive.has(_ENCRYPTION):
        return frozenset()
    found = xmltree.parsed(archive.read(_ENCRYPTION)).iter(_CIPHER)
    return frozenset(unquote(cipher.get("URI", "")) for cipher in found)
