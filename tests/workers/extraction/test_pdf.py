"""The text of PDFs: of those that others read wrong, and of what is hard about pages."""

from pathlib import Path

import pytest

from tasks import errors
from tests.workers import papers
from workers.extraction import parent

CASES = Path(__file__).parents[2] / "cases" / "documents"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cjk-h", "東京の倉庫は朝九時に開きます"),
        ("cjk-identity", "ぃぅぇぉか"),
        ("cjk-ksc", "창고는 아침 아홉 시에 문을 연다"),
        ("cjk-uhc", "창고는 아침 아홉 시에 문을 연다"),
        ("form", "Name:\nMaria Example"),
        ("hyphens", "The new turbine has an overpressure valve and an exchangeable strainer."),
        ("no-printing-aes128", "This contract may be read but not printed."),
        ("table-cells", "MEYER, ANNA DISTRICT DIRECTOR 37,499.96"),
    ],
)
def test_case_is_read_right(name: str, text: str) -> None:
    found = parent.extract((CASES / f"{name}.pdf").read_bytes(), "pdf")
    assert (found.text, found.warnings) == (text, ())


def at(x: int, y: int, text: str, size: int = 10) -> bytes:
    return b"/F1 %d Tf 1 0 0 1 %d %d Tm (%s) Tj" % (size, x, y, text.encode("latin-1"))


def page(*shows: bytes) -> bytes:
    return papers.stream(b"BT %s ET" % b" ".join(shows))


def test_cells_of_a_table_stay_apart() -> None:
    """Also where they are one digit wide and close together."""
    file = papers.pages(page(at(50, 700, "0"), at(65, 700, "1"), at(80, 700, "1"), at(50, 688, "x"), at(65, 688, "y")))
    assert parent.extract(file, "pdf").text == "0 1 1\nx y"


def test_larger_letters_are_headings_and_distance_parts_paragraphs() -> None:
    lines = [at(50, y, f"Line at {y} of some length") for y in (660, 648, 636, 600, 588, 576)]
    file = papers.pages(page(at(50, 700, "Title", 20), *lines), page(at(50, 700, "Part", 14), at(50, 680, "End of it")))
    found = parent.extract(file, "pdf")
    assert [(head.level, head.title) for head in found.marks.headings] == [(1, "Title"), (2, "Part")]
    assert found.text.split("\n\n")[:3] == [
        "# Title",
        "Line at 660 of some length\nLine at 648 of some length\nLine at 636 of some length",
        "Line at 600 of some length\nLine at 588 of some length\nLine at 576 of some length",
    ]


def test_pages_begin_where_they_are_marked() -> None:
    """Also those without text, which are told."""
    file = papers.pages(page(at(50, 700, "one")), papers.stream(b""), page(at(50, 700, "three")))
    found = parent.extract(file, "pdf")
    assert [found.text[begin:] for begin in found.marks.pages] == ["one\n\nthree", "\n\nthree", "three"]
    assert found.warnings == ("page 2: without text; a scanned one is an image",)


def test_compound_keeps_its_hyphen_at_the_end_of_a_line() -> None:
    file = papers.pages(page(at(50, 700, "state-of-the-"), at(50, 688, "art, and Baden-"), at(50, 676, "Baden, knowl-"),
                             at(50, 664, "edge.")))  # fmt: skip
    assert parent.extract(file, "pdf").text == "state-of-the-art, and Baden-Baden, knowledge."


def test_free_text_and_values_without_a_look_are_read() -> None:
    """A note on the page, and a field that only says its value."""
    note = b"<</Type/Annot/Subtype/FreeText/Contents(Call back)/Rect[50 500 90 520]/DA(/F1 9 Tf)>>"
    field = b"<</Type/Annot/Subtype/Widget/FT/Tx/T(town)/V(Bergen)/Rect[50 400 90 420]/P 3 0 R/DA(/F1 9 Tf)>>"
    font = b"/Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>"
    file = papers.pdf(
        b"<</Type/Pages/Kids[3 0 R]/Count 1/MediaBox[0 0 600 800]>>",
        b"<</Type/Page/Parent 2 0 R/Contents 4 0 R/Resources<<%s>>/Annots[5 0 R 6 0 R]>>" % font,
        page(at(50, 700, "Form")),
        note,
        field,
        catalog=b"<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[6 0 R]/DR<<%s>>>>>>" % font,
    )
    assert set(parent.extract(file, "pdf").text.split("\n")) >= {"Form", "Call back", "Bergen"}


def unnamed(codes: bytes) -> bytes:
    """A page of these shapes, of a font that doesn't say which characters they are."""
    return papers.pdf(
        b"<</Type/Pages/Kids[3 0 R]/Count 1/MediaBox[0 0 600 800]>>",
        b"<</Type/Page/Parent 2 0 R/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        papers.stream(b"BT /F1 12 Tf 50 700 Td <%s> Tj ET" % b"".join(b"%04x" % code for code in codes)),
        b"<</Type/Font/Subtype/Type0/BaseFont/X/Encoding/Identity-H/DescendantFonts[6 0 R]>>",
        b"<</Type/Font/Subtype/CIDFontType2/BaseFont/X/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)"
        b"/Supplement 0>>/FontDescriptor 7 0 R/DW 1000>>",
        b"<</Type/FontDescriptor/FontName/X/Flags 4/FontBBox[0 0 1 1]/ItalicAngle 0/Ascent 1/Descent 0/StemV 1>>",
    )


WORDS = b"the quick brown fox jumps over the lazy dog"


@pytest.mark.parametrize("codes", [b"456 7A (8)", bytes(max(1, code - 29) for code in WORDS), bytes(range(1, 30))])
def test_font_that_does_not_say_what_it_shows_gives_no_garbage(codes: bytes) -> None:
    """Shapes numbered without a meaning, or as many programs number them, from the third on."""
    with pytest.raises(errors.UnreadableDocument, match="which characters"):
        parent.extract(unnamed(codes), "pdf")


def test_font_that_numbers_its_shapes_as_ascii_does_is_read() -> None:
    """As old programs do, and say nothing of it."""
    assert parent.extract(unnamed(WORDS), "pdf").text == WORDS.decode()


@pytest.mark.parametrize("title", ["A report", "report.docx", "untitled"])
def test_title_is_the_documents_own_unless_it_is_a_files_name(title: str) -> None:
    assert parent.extract(papers.titled(title), "pdf").title == ("A report" if title == "A report" else None)
