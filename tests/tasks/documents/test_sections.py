"""What every piece of a text says of where it stands: headings, page, offsets, a table's header."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.documents.chunking import About, Piece, cut
from tasks.documents.costs import Count
from tasks.documents.marks import Grid, Heading, Marks
from tasks.documents.outline import outline
from tests.tasks.documents.test_chunking import COUNTS, assert_covers, by_words

LINES = st.sampled_from(
    [
        "# A boat", "## Its price", "### Of a very long boat " + "indeed " * 20, "Coins", "=====", "It costs 42 coins.",
        "| a | b |", "|---|---|", "| 1 | 2 |", "", "", "word " * 30, "长句子。短。", "x" * 90, "+---+", "\t \u3000",
    ]
)  # fmt: skip
WRITTEN = st.lists(LINES, max_size=40).map("\n".join)


def table(rows: int) -> str:
    return "| Article | Price |\n|---|---|\n" + "\n".join(f"| BX-{number} | {number} |" for number in range(rows))


def pieces_of(text: str, size: int = 24, overlap: int = 0, title: str | None = None) -> list[Piece]:
    return cut(text, by_words, size, overlap, About(title, "markdown"))


def assert_placed(text: str, pieces: list[Piece], size: int, count: Count) -> None:
    """Each stands where it says, isn't over the size with its context, and no heading is in its middle for nothing."""
    for piece in pieces:
        assert text[piece.begins : piece.ends] == piece.text == piece.text.strip() != ""
        assert count([piece.embedded]) == [piece.tokens]
        assert piece.tokens <= size
    assert [piece.ends for piece in pieces] == sorted({piece.ends for piece in pieces})
    assert_covers(text, pieces)


@given(WRITTEN, st.sampled_from(COUNTS), st.integers(6, 60), st.none() | st.text(max_size=40), st.data())
@settings(max_examples=150)
def test_any_writing_is_cut_into_pieces_that_stand_where_they_say(
    text: str, count: Count, size: int, title: str | None, data: st.DataObject
) -> None:
    """Every word is in one, in order; a heading after other text begins one."""
    pieces = cut(text, count, size, data.draw(st.integers(0, size // 2)), About(title, "markdown"))
    assert_placed(text, pieces, size, count)
    begun = {piece.begins for piece in pieces}
    places = [heading.at for heading in outline(text, "markdown").headings]
    for before, place in zip([0, *places], places, strict=False):
        body = text[before:place].rstrip()
        if body and not body.endswith(("# A boat", "price", "=====", "---", "indeed")):
            assert place in begun


@given(st.text(max_size=300), st.data())
def test_marks_of_any_places_are_taken(text: str, data: st.DataObject) -> None:
    """Whatever an extraction marked."""
    places = st.integers(0, len(text) + 3)
    headings = data.draw(st.lists(st.builds(Heading, places, st.integers(1, 6), st.text(max_size=20)), max_size=5))
    tables = data.draw(st.lists(st.builds(Grid, places, places, st.text(max_size=30)), max_size=3))
    pages = data.draw(st.lists(places, max_size=3).map(sorted))
    headings.sort(key=lambda mark: mark.at)
    tables.sort(key=lambda mark: mark.begins)
    pieces = cut(text, len_of, 20, 3, About("t", "pdf", Marks(headings, pages, tables)))
    assert_placed(text, pieces, 20, len_of)


def len_of(texts: "list[str]") -> list[int]:
    return [len(text) for text in texts]


def test_heading_begins_a_piece_and_never_ends_one() -> None:
    """However short the section before it is."""
    text = "One.\n\n# A\n\nTwo.\n\n## B\n\nThree."
    assert [piece.text for piece in pieces_of(text, 100)] == ["One.", "# A\n\nTwo.", "## B\n\nThree."]


def test_headings_that_follow_each_other_begin_a_piece_together() -> None:
    [only] = pieces_of("# A\n\n## B\n\nText.", 100)
    assert (only.text, only.path, only.context) == ("# A\n\n## B\n\nText.", ("A", "B"), "")


def test_piece_says_the_headings_that_it_is_under() -> None:
    """Those that its text holds aren't said twice where it is embedded; a new heading ends those of its level."""
    text = "# Boats\n\nMany.\n\n## Price\n\n" + "It costs coins. " * 12 + "\n\n# Cars\n\nFew."
    first, *priced, last = pieces_of(text, 24, title="Stock")
    assert (first.path, first.context) == (("Boats",), "Stock")
    assert {piece.path for piece in priced} == {("Boats", "Price")}
    assert [piece.context for piece in priced[:2]] == ["Stock > Boats", "Stock > Boats > Price"]
    assert priced[1].embedded.startswith("Stock > Boats > Price\nIt costs coins.")
    assert (last.path, last.context) == (("Cars",), "Stock")


def test_title_that_is_a_heading_is_said_once() -> None:
    *_, last = pieces_of("# Boats\n\n" + "It costs coins. " * 12, title="Boats")
    assert last.context == "Boats"


def test_cut_table_says_its_header_again() -> None:
    """Where the header isn't in the text; it never ends a piece, and rows stay whole."""
    first, *others = pieces_of("Some words before it.\n\n" + table(20), 40)
    assert first.header is None
    assert "| Article | Price |\n|---|---|\n| BX-0 | 0 |" in first.text
    assert {piece.header for piece in others} == {"| Article | Price |"}
    assert all(piece.embedded.startswith("| Article | Price |\n| BX-") for piece in others)
    assert all(piece.text.endswith(" |") for piece in others)
    for size in range(12, 40):
        assert not [
            p for p in pieces_of("word " * 9 + "end.\n\n" + table(9), size) if p.text.endswith(("Price |", "---|"))
        ]


def test_pages_are_counted_from_where_a_piece_begins() -> None:
    marks = Marks(pages=(0, 12, 20))
    pieces = cut("One two. Three. Four. Five six.", by_words, 2, 0, About(marks=marks))
    assert [(piece.text, piece.page) for piece in pieces] == [
        ("One two.", 1), ("Three. Four.", 1), ("Five six.", 3),
    ]  # fmt: skip


@pytest.mark.parametrize("size", [12, 30, 60])
def test_context_takes_a_third_at_most(size: int) -> None:
    """The highest headings go first, then the title, then the ends of what is left."""
    text = "\n\n".join(f"{'#' * level} Heading of level {level}" for level in range(1, 6)) + "\n\n" + "Word. " * 200
    pieces = pieces_of(text, size, title="What it is called")
    last = pieces[-1]
    assert by_words([last.context])[0] <= size // 3
    assert last.path == tuple(f"Heading of level {level}" for level in range(1, 6))
    shown = {
        12: "Heading of level 5",
        30: "What it is called > Heading of level 5",
        60: "What it is called > Heading of level 3 > Heading of level 4 > Heading of level 5",
    }
    assert last.context == shown[size]


def test_context_that_leaves_no_room_for_a_word_is_left_out() -> None:
    """The word is in a piece of its own then, whole."""
    text = "# Boats and cars\n\n" + "a " * 30 + "y" * 20 + " b"
    pieces = cut(text, len_of, 20, 0, About(None, "markdown"))
    assert ("y" * 20, "") in [(piece.text, piece.context) for piece in pieces]


def test_files_that_failed_are_understood() -> None:
    """A piece of the second model says which model; a piece of a long table knows its columns."""
    models = pieces_of("# Model A200\n\n" + "The cover is fastened. " * 40 + "\n\n# Model B900\n\n" + "Clips. " * 90)
    assert all(("B900" in piece.embedded) == ("Clips" in piece.text) for piece in models)
    rows = pieces_of("# Stock list\n\n" + table(120), 64)
    assert all("Article" in piece.embedded and "Price" in piece.embedded for piece in rows)
