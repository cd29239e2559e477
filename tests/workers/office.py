"""Office files, books, mails and archives made by hand: as small as their programs' would never be."""

import io
import tarfile
import zipfile
from collections.abc import Mapping

import openpyxl

_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_A = "http://schemas.openxmlformats.org/drawingml/2006/main"
_P = "http://schemas.openxmlformats.org/presentationml/2006/main"


def zipped(members: Mapping[str, bytes | str], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packing) as archive:
        for name, contents in members.items():
            archive.writestr(name, contents)
    return file.getvalue()


def tarred(members: Mapping[str, bytes], mode: str = "w:gz", *others: tarfile.TarInfo) -> bytes:
    """A tar of files, and of these others, which have no contents."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
        for name, contents in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(contents)
            archive.addfile(info, io.BytesIO(contents))
        for other in others:
            archive.addfile(other)
    return file.getvalue()


def _relations(*targets: tuple[str, str]) -> str:
    made = "".join(
        f'<Relationship Id="r{number}" Type="{_OFFICE}/{what}" Target="{target}"/>'
        for number, (what, target) in enumerate(targets, 1)
    )
    return f'<Relationships xmlns="{_RELATIONS}">{made}</Relationships>'


_CORE = (
    '<p:coreProperties xmlns:p="http://schemas.openxmlformats.org/package/2006/metadata/core-properties"'
    ' xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Boats</dc:title></p:coreProperties>'
)


def paragraph(text: str, style: str = "", *, item: bool = False) -> str:
    about = (f'<w:pStyle w:val="{style}"/>' if style else "") + ("<w:numPr/>" if item else "")
    return f"<w:p><w:pPr>{about}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def docx(body: str, before: str = "", **others: str) -> bytes:
    """A document with this body; `before` is what stands before its root."""
    styles = (
        f'<w:styles xmlns:w="{_W}"><w:style w:styleId="H1"><w:name w:val="heading 1"/></w:style>'
        '<w:style w:styleId="berschrift2"><w:name w:val="heading 2"/></w:style></w:styles>'
    )
    return zipped(
        {
            "_rels/.rels": _relations(("officeDocument", "word/document.xml")),
            "word/_rels/document.xml.rels": _relations(("styles", "styles.xml"), ("footnotes", "footnotes.xml")),
            "word/styles.xml": styles,
            "word/document.xml": f'{before}<w:document xmlns:w="{_W}"><w:body>{body}</w:body></w:document>',
            "docProps/core.xml": _CORE,
            **others,
        }
    )


def footnotes(text: str) -> str:
    return f'<w:footnotes xmlns:w="{_W}"><w:footnote w:id="2">{paragraph(text)}</w:footnote></w:footnotes>'


def table(*rows: tuple[str, ...]) -> str:
    cells = "".join("<w:tr>" + "".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in row) + "</w:tr>" for row in rows)
    return f"<w:tbl>{cells}</w:tbl>"


def pptx(*slides: str, notes: str = "") -> bytes:
    """Slides with these shapes; the notes are the first one's."""
    ids = "".join(f'<p:sldId id="{255 + number}" r:id="r{number}"/>' for number in range(1, len(slides) + 1))
    members = {
        "_rels/.rels": _relations(("officeDocument", "ppt/presentation.xml")),
        "ppt/presentation.xml": f'<p:presentation xmlns:p="{_P}" xmlns:r="{_OFFICE}"><p:sldIdLst>{ids}</p:sldIdLst>'
        "</p:presentation>",
        "ppt/_rels/presentation.xml.rels": _relations(
            *(("slide", f"slides/slide{number}.xml") for number in range(1, len(slides) + 1))
        ),
        "docProps/core.xml": _CORE,
    }
    for number, shapes in enumerate(slides, 1):
        members[f"ppt/slides/slide{number}.xml"] = f'<p:sld xmlns:p="{_P}" xmlns:a="{_A}">{shapes}</p:sld>'
    if notes:
        members["ppt/slides/_rels/slide1.xml.rels"] = _relations(("notesSlide", "../notesSlides/n1.xml"))
        members["ppt/notesSlides/n1.xml"] = f'<p:notes xmlns:p="{_P}" xmlns:a="{_A}">{shape(notes)}</p:notes>'
    return zipped(members)


def shape(text: str, place: str = "body") -> str:
    lines = "".join(f"<a:p><a:r><a:t>{line}</a:t></a:r></a:p>" for line in text.split("\n"))
    return f'<p:sp><p:nvSpPr><p:nvPr><p:ph type="{place}"/></p:nvPr></p:nvSpPr><p:txBody>{lines}</p:txBody></p:sp>'


def grid(*rows: tuple[str, ...]) -> str:
    cells = "".join(
        "<a:tr>"
        + "".join(f"<a:tc><a:txBody><a:p><a:r><a:t>{cell}</a:t></a:r></a:p></a:txBody></a:tc>" for cell in row)
        + "</a:tr>"
        for row in rows
    )
    return f"<a:tbl>{cells}</a:tbl>"


def xlsx(**sheets: list[list[object]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def epub(*chapters: str, **others: str) -> bytes:
    items = "".join(
        f'<item id="c{number}" href="c%20{number}.xhtml" media-type="application/xhtml+xml"/>'
        for number in range(len(chapters))
    )
    spine = "".join(f'<itemref idref="c{number}"/>' for number in range(len(chapters)))
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<dc:title>A book</dc:title></metadata><manifest>{items}</manifest><spine>{spine}</spine></package>"
    )
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OPS/p.opf"/></rootfiles></container>'
    )
    return zipped(
        {
            "META-INF/container.xml": container,
            "OPS/p.opf": package,
            **{f"OPS/c {number}.xhtml": chapter for number, chapter in enumerate(chapters)},
            **others,
        }
    )


def unzipped(raw: bytes) -> dict[str, bytes | str]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
