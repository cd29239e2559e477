"""What each kind of document says, block by block, and where in the text headings, tables and pages are."""

import datetime as dt
from email.message import EmailMessage

import pytest

from tasks import errors
from tasks.documents.marks import Extracted
from tests.workers import office
from workers.extraction import delimited, parent


def headings(found: Extracted) -> list[tuple[int, str]]:
    for head in found.marks.headings:
        assert found.text.startswith(f"{'#' * head.level} {head.title}", head.at)
    return [(head.level, head.title) for head in found.marks.headings]


def tables(found: Extracted) -> list[tuple[str, str]]:
    return [(table.header, found.text[table.begins : table.ends]) for table in found.marks.tables]


def test_docx_gives_headings_lists_tables_and_notes() -> None:
    body = (
        office.paragraph("Boats", "H1")
        + office.paragraph("They float.")
        + office.paragraph("oars", item=True)
        + office.paragraph("sails", item=True)
        + office.paragraph("Prices", "berschrift2")
        + office.table(("name", "coins"), ("a | b", "42"))
        + "<w:p><w:r><w:t>one</w:t><w:tab/><w:t>two</w:t><w:br/><w:t>three</w:t></w:r>"
        "<w:del><w:r><w:t>gone</w:t></w:r></w:del></w:p>"
    )
    found = parent.extract(office.docx(body, **{"word/footnotes.xml": office.footnotes("As of May.")}), "docx")
    assert found.text == (
        "# Boats\n\nThey float.\n\noars\nsails\n\n## Prices\n\n| name | coins |\n| a \\| b | 42 |\n\n"
        "one\ttwo\nthree\n\nAs of May."
    )
    assert (found.title, headings(found)) == ("Boats", [(1, "Boats"), (2, "Prices")])
    assert tables(found) == [("| name | coins |", "| a \\| b | 42 |")]


def test_pptx_gives_a_page_for_each_slide_with_its_notes() -> None:
    first = office.shape("Boats", "title") + office.shape("They float.\nThey sink.") + office.shape("7", "sldNum")
    second = office.grid(("name", "coins"), ("Clara", "42"))
    found = parent.extract(office.pptx(first, second, notes="Speak slowly."), "pptx")
    assert found.text == ("# Boats\n\nThey float.\nThey sink.\n\nSpeak slowly.\n\n| name | coins |\n| Clara | 42 |")
    assert [found.text[at : at + 7] for at in found.marks.pages] == ["# Boats", "| name "]
    assert tables(found) == [("| name | coins |", "| Clara | 42 |")]


def test_xlsx_gives_a_table_for_each_sheet() -> None:
    """Values as a person would write them; a title above the header is a paragraph."""
    sheets: dict[str, list[list[object]]] = {
        "Prices": [["As of May", None], [], ["name", "coins", "since"], ["boat", 42.0, dt.date(2026, 5, 1)],
                   ["oar", 1.5, True]],
        "Empty": [],
        "Numbers": [[1, 2], [3, 4]],
    }  # fmt: skip
    found = parent.extract(office.xlsx(**sheets), "xlsx")
    assert headings(found) == [(2, "Prices"), (2, "Numbers")]
    assert tables(found) == [
        ("| name | coins | since |", "| boat | 42 | 2026-05-01 |\n| oar | 1.5 | TRUE |"),
        ("", "| 1 | 2 |\n| 3 | 4 |"),
    ]
    assert "\n\nAs of May\n\n| name" in found.text


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("csv", b'name,coins\n"boat, large",42\r\n"two\nlines",1\n'),
        ("csv", b'name;coins\n"boat, large";42\n"two\nlines";1\n'),
        ("csv", b'name|coins\nboat, large|42\n"two\nlines"|1\n'),
        ("tsv", b'name\tcoins\nboat, large\t42\n"two\nlines"\t1\n'),
        ("csv", 'name,coins\n"boat, large",42\n"two\nlines",1\n'.encode("utf-16")),
    ],
)
def test_delimited_rows_are_a_table(kind: str, raw: bytes) -> None:
    found = parent.extract(raw, kind)
    assert found.text == "| name | coins |\n| boat, large | 42 |\n| two lines | 1 |"
    assert tables(found) == [("| name | coins |", "| boat, large | 42 |\n| two lines | 1 |")]


def test_long_number_in_a_row_is_looked_at_a_few_times() -> None:
    """Looked at from each of its digits, it would take hours. It has a letter, so the first row is the header."""
    found = parent.extract(f"{'1' * 120_000}x,b\n1,2\n".encode(), "csv")
    assert found.text.endswith("x | b |\n| 1 | 2 |")


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [("a,b;c\nd,e;f", ","), ("1,5;2,5\n3,5;4,5\n1;2", ";"), ("one\ntwo", ","), ("", ","), ("a\tb c\nd\te f", "\t")],
)
def test_delimiter_is_what_parts_most_rows_alike(text: str, delimiter: str) -> None:
    assert delimited.delimiter_of(text) == delimiter


def test_json_says_of_each_value_where_it_is() -> None:
    raw = b'{"town": "Bergen", "boats": [{"name": "A", "at": {"x": 1.50}}, {"name": "B", "tags": ["new", null, true]}]}'
    assert parent.extract(raw, "json").text == (
        "town: Bergen\n\nboats[0].name: A\nboats[0].at.x: 1.50\n\nboats[1].name: B\nboats[1].tags: new, null, true"
    )
    assert parent.extract(b'["a", 12345678901234567890123, false]', "json").text == (
        "[0]: a\n\n[1]: 12345678901234567890123\n\n[2]: false"
    )
    assert parent.extract(b'"only"', "json").text == "only"


def test_jsonl_is_a_paragraph_a_line_and_a_wrong_line_is_told() -> None:
    found = parent.extract(b'{"a": 1, "b": "x"}\n\nno\n{"a": 2}\n', "jsonl")
    assert (found.text, len(found.warnings)) == ("a: 1\nb: x\n\na: 2", 1)
    assert "line 3" in found.warnings[0]


def test_rst_stays_as_it_is_with_its_sections_marked() -> None:
    found = parent.extract(b"Boats\n=====\n\nThey *float*.\n", "rst")
    assert found.text == "Boats\n=====\n\nThey *float*."
    assert [(head.at, head.level, head.title) for head in found.marks.headings] == [(0, 1, "Boats")]


def test_epub_gives_its_chapters_in_the_order_of_reading() -> None:
    found = parent.extract(office.epub("<h1>One</h1><p>It begins.", "<h1>Two</h1><p>It ends."), "epub")
    assert (found.text, found.title) == ("# One\n\nIt begins.\n\n# Two\n\nIt ends.", "A book")


def mail() -> EmailMessage:
    made = EmailMessage()
    made["Subject"], made["From"], made["To"] = "Späte Boote", "Clara <c@example.org>", "o@example.org"
    made.set_content("It is läte.\n\nClara\n", charset="iso-8859-1")
    made.add_alternative("<p>It is <b>late</b>.", subtype="html")
    return made


def test_eml_gives_head_body_and_attached_texts() -> None:
    """The plain body rather than the HTML; attached mails too; of what else is attached, that it is there."""
    made, inner = mail(), EmailMessage()
    inner["Subject"] = "Inner"
    inner.set_content("<p>Only <i>HTML</i>", subtype="html")
    made.add_attachment("a,b\n1,2\n", subtype="csv", filename="t.csv")
    made.add_attachment(inner)
    made.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="boat.png")
    found = parent.extract(made.as_bytes(), "eml")
    assert found.text == (
        "# Späte Boote\n\nFrom: Clara <c@example.org>\nTo: o@example.org\n\nIt is läte.\n\nClara\n\n"
        "## t.csv\n\na,b\n1,2\n\n## Inner\n\nOnly HTML"
    )
    assert found.title == "Späte Boote"
    assert found.warnings == ("what is attached as boat.png wasn't read",)


NEWS = """<title>News</title><body><header><a href=/>Home</a></header><nav><a>One</a> <a>Two</a></nav>
<div class="breadcrumbs"><a>Home</a> &gt; <a>News</a></div>{begin}<h1>The boat sank</h1>
<p>It was made of stone, which nobody had noticed before it was too late for those on board.</p>
<table><tr><th>where<th>when<tr><td>harbour<td>noon</table>
<p>Its weight was <math alttext="m = \\rho V"><mi>m</mi></math>.</p>
<div class="related-links"><h2>Related</h2><ul><li><a>Stones</a><li><a>Water</a></ul></div>{end}
<aside><a>Buy a boat</a></aside><div id="cookie-notice">We use cookies.</div><footer>(c) <a>Imprint</a></footer>"""


@pytest.mark.parametrize(("begin", "end"), [("", ""), ("<main>", "</main>"), ("<article>", "</article>")])
def test_html_is_its_main_part(begin: str, end: str) -> None:
    """With its table and its formula; without menus, footers and related links."""
    found = parent.extract(NEWS.format(begin=begin, end=end).encode(), "html")
    assert found.text == (
        "# The boat sank\n\nIt was made of stone, which nobody had noticed before it was too late for those on board."
        "\n\n| where | when |\n| harbour | noon |\n\nIts weight was m = \\rho V."
    )
    assert (found.title, tables(found)) == ("News", [("| where | when |", "| harbour | noon |")])


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<nav><a>One</a> <a>Two</a></nav>", "One Two"),
        ("<section id=menu><h2>Menu</h2><p>Soup with bread, 4 coins</section>", "## Menu\n\nSoup with bread, 4 coins"),
        ("<main></main><p>All else", "All else"),
        ("<article><p>One</article><article><p>Two</article>", "One\n\nTwo"),
        ("<table><tr><td><h1>Layout</h1><td><p>of old", "# Layout\n\nof old"),
        ("<table><tr><td><table><tr><td>a<td>b</table></table>", "| a | b |"),
        ("<ul><li>a<ul><li>b</ul><li>c</ul>", "a\nb\nc"),
        ("<p><math><mfrac><mi>a</mi><mi>b</mi></mfrac><mo>=</mo><msup><mi>c</mi><mn>2</mn></msup></math>", "a/b=c^2"),
        ("<p>x<math><semantics><mi>y</mi><annotation>\\y</annotation></semantics></math>", "x\\y"),
        ("<p><span style='display:none'><math><mi>x</mi></math></span><img class=math-img alt='\\xi'>", "\\xi"),
    ],
    ids=["only a menu", "a menu of dishes", "empty main", "many articles", "layout", "nested", "lists", "mathml",
         "annotation", "image of a formula"],
)  # fmt: skip
def test_html_whose_main_part_cannot_be_told_is_whole(page: str, text: str) -> None:
    assert parent.extract(page.encode(), "html").text == text


@pytest.mark.parametrize("kind", ["docx", "pptx", "xlsx", "epub"])
@pytest.mark.parametrize("raw", [b"", b"PK\x03\x04" + bytes(99), office.zipped({"a": b"b"}), b"no zip at all"])
def test_what_is_not_what_its_name_says_is_unreadable(kind: str, raw: bytes) -> None:
    with pytest.raises(errors.UnreadableDocument):
        parent.extract(raw, kind)


@pytest.mark.parametrize(
    ("kind", "raw", "reason"),
    [
        ("json", b"{", "json"),
        ("json", b"[" * 100_000, "nested too deep"),
        ("json", b"{}", "no text"),
        ("jsonl", b"no\nno\n", "no line"),
        ("csv", b"\n\n,,\n", "no text"),
        ("eml", b"hello", "head of a mail"),
    ],
)
def test_text_that_is_not_what_its_name_says_is_unreadable(kind: str, raw: bytes, reason: str) -> None:
    with pytest.raises(errors.UnreadableDocument, match=reason):
        parent.extract(raw, kind)
