"""Files made to harm what reads them, of every kind that is a program's format: a text, or a named error."""

import zipfile
from collections.abc import Callable

import pytest

from tasks import errors
from tests.workers import office
from workers.extraction import parent
from workers.extraction.parent import Limits

TIGHT = Limits(memory_bytes=512 << 20, cpu_s=20)

_LAUGHS = "".join(
    f'<!ENTITY l{number} "{f"&l{number - 1};" * 10}">' for number in range(1, 10)
)  # each ten times the one before
LAUGHS = f'<!DOCTYPE x [<!ENTITY l0 "ha">{_LAUGHS}]>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
DEEP = "<w:p>" * 100_000 + "</w:p>" * 100_000


def sheet(cells: str) -> bytes:
    """A workbook with this sheet, beside what its program writes."""
    made = office.xlsx(One=[["x"]])
    members = office.unzipped(made)
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    members["xl/worksheets/sheet1.xml"] = (
        f'<worksheet xmlns="{main}"><sheetData>{cells}</sheetData></worksheet>'.encode()
    )
    return office.zipped(members)


def lying() -> bytes:
    """A document whose largest part says that it is ten bytes."""
    raw = bytearray(office.docx(office.paragraph("x" * 5_000_000)))
    at = raw.rindex(b"PK\x01\x02", 0, raw.rindex(b"docProps"))
    raw[at + 24 : at + 28] = (10).to_bytes(4, "little")
    return bytes(raw)


UNREADABLE: dict[str, tuple[str, Callable[[], bytes]]] = {
    "docx of laughs": ("docx", lambda: office.docx(office.paragraph("&l9;"), LAUGHS)),
    "docx nested deep": ("docx", lambda: office.docx(DEEP)),
    "docx bomb": ("docx", lambda: office.docx("", **{"word/x.xml": "\0" * (300 << 20)})),
    "docx that lies of its size": ("docx", lying),
    "docx of many parts": ("docx", lambda: office.zipped({f"{number}.xml": b"" for number in range(10_001)})),
    "docx cut off": ("docx", lambda: office.docx(office.paragraph("x"))[:-30]),
    "docx of broken XML": ("docx", lambda: office.docx("<w:p><w:r>")),
    "pptx of laughs": ("pptx", lambda: office.pptx(f"{office.shape('&l9;')}")),
    "pptx without its slides": ("pptx", lambda: office.zipped({"_rels/.rels": "<a/>"})),
    "xlsx of nothing": ("xlsx", lambda: office.xlsx(One=[])),
    "epub of laughs": ("epub", lambda: office.epub(**{"META-INF/container.xml": f"{LAUGHS}<x>&l9;</x>"})),
    "epub encrypted": (
        "epub",
        lambda: office.epub(
            "x",
            **{
                "META-INF/encryption.xml": '<a xmlns:e="http://www.w3.org/2001/04/xmlenc#">'
                '<e:CipherReference URI="OPS/c%200.xhtml"/></a>'
            },
        ),
    ),
    "csv of a million columns": ("csv", lambda: b"a," * 1_000_000),
    "json nested deep": ("json", lambda: b'{"a":' * 1_000_000),
    "json of zeros": ("json", lambda: bytes(1_000_000)),
    "eml of parts without end": (
        "eml",
        lambda: b"Subject: \r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n" + b"--a\r\n" * 300_000,
    ),
}

READABLE: dict[str, tuple[str, Callable[[], bytes]]] = {
    "docx that reads outside": ("docx", lambda: office.docx(office.paragraph("x&e;"), OUTSIDE)),
    "xlsx of a row far away": ("xlsx", lambda: sheet('<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>')),
    "xlsx of a giant cell": ("xlsx", lambda: office.xlsx(One=[["x" * 32_000]])),
    "csv of many columns": ("csv", lambda: b"a," * 500_000),
    "csv of a giant cell": ("csv", lambda: b'"' + b"x" * 3_000_000 + b'"\n1,2'),
    "csv of quotes": ("csv", lambda: b'"' * 999_999 + b"x"),
    "csv with zeros": ("csv", lambda: b"a,b\0\n" + b"c,d\n" * 99),
    "json nested less deep": ("json", lambda: b"[" * 900 + b'"x"' + b"]" * 900),
    "json of a large number": ("json", lambda: b"1" * 100_000),
    "json of lone surrogates": ("json", lambda: b'["a\\ud800b"]'),
    "jsonl of one long line": ("jsonl", lambda: b'{"a": "' + b"x" * 3_000_000 + b'"}'),
    "rst of lines": ("rst", lambda: b"x\n" + b"=" * 3_000_000),
    "markdown of fences": ("markdown", lambda: b"```\n" * 700_000),
    "eml of a long header": ("eml", lambda: b"Subject: " + b"=?utf-8?q?x?= " * 5_000 + b"\r\n\r\nbody"),
    "eml with a false charset": ("eml", lambda: b"Subject: x\r\nContent-Type: text/plain; charset=rot13\r\n\r\nbody"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_hostile_file_without_text_is_named(name: str) -> None:
    kind, make = UNREADABLE[name]
    with pytest.raises((errors.UnreadableDocument, errors.DocumentTooLarge)):
        parent.extract(make(), kind, TIGHT)


@pytest.mark.parametrize("name", READABLE)
def test_hostile_file_with_text_is_read(name: str) -> None:
    """And nothing of this machine is in it."""
    kind, make = READABLE[name]
    found = parent.extract(make(), kind, TIGHT)
    assert "root:" not in found.text
    assert "\0" not in found.text
    assert [table.ends for table in found.marks.tables if table.ends > len(found.text)] == []


def test_wide_rows_without_end_are_given_up() -> None:
    """A cell in the last column makes each row sixteen thousand wide, for thirty bytes."""
    cells = "".join(f'<row r="{row}"><c r="XFD{row}"><v>1</v></c></row>' for row in range(1, 200_000))
    with pytest.raises((errors.UnreadableDocument, errors.DocumentTooLarge)):
        parent.extract(sheet(cells), "xlsx", Limits(cpu_s=3, memory_bytes=512 << 20))


@pytest.mark.parametrize("packing", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip_packed_otherwise_is_read(packing: int) -> None:
    raw = office.zipped(office.unzipped(office.docx(office.paragraph("The code is 19."))), packing)
    assert parent.extract(raw, "docx", TIGHT).text == "The code is 19."


def test_hundred_levels_of_zips_are_one() -> None:
    raw = office.zipped({"a.txt": b"x"})
    for _ in range(100):
        raw = office.zipped({"a.txt": b"x", "inner.zip": raw})
    found = parent.unpack(raw, "zip", TIGHT)
    assert (found.members, len(found.refused)) == ([("a.txt", b"x")], 1)
