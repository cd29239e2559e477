"""Headings and tables of texts that people write: found where they are, and not where they only seem to be."""

import pytest

from tasks.documents.marks import Grid, Heading, Marks
from tasks.documents.outline import outline

MARKDOWN = """---
title: not a heading
---

# One #

Text | with a pipe.

Two
===

```sh
# a comment
---
```

Three,
in two lines
---

| code | coins |
|:-----|------:|
| a    | 1     |
| b \\| c | 2   |
After.
"""

RST = """=======
 Whole
=======

Part
----

A paragraph::

    # code
    ----

=====  =====
code   coins
=====  =====
a      1

b      2
=====  =====

+-----+-----+
| x   | y   |
+=====+=====+
| 1   | 2   |
+-----+-----+

Next part
---------

= ==
1 2
= ==

Deep
~~~~
"""


def shown(text: str, marks: Marks) -> list[tuple[int, str, str]]:
    """Each heading's level, title and the line where it begins."""
    return [(head.level, head.title, text[head.at :].split("\n", 1)[0]) for head in marks.headings]


def rows(text: str, table: Grid) -> tuple[str, str]:
    return table.header, text[table.begins : table.ends]


@pytest.mark.parametrize("kind", ["text", "markdown"])
def test_markdown_gives_its_headings_and_tables(kind: str) -> None:
    """Underlined ones too; nothing of code, and nothing of what programs put above a text."""
    marks = outline(MARKDOWN, kind)
    assert shown(MARKDOWN, marks) == [
        (1, "One", "# One #"),
        (1, "Two", "Two"),
        (2, "Three, in two lines", "Three,"),
    ]
    assert [rows(MARKDOWN, table) for table in marks.tables] == [
        ("| code | coins |", "| a    | 1     |\n| b \\| c | 2   |\n")
    ]


def test_rst_gives_its_sections_and_tables() -> None:
    """Levels are in the order in which their styles are first seen; a table's header is what is ruled off."""
    marks = outline(RST, "rst")
    assert shown(RST, marks) == [
        (1, "Whole", "======="),
        (2, "Part", "Part"),
        (2, "Next part", "Next part"),
        (3, "Deep", "Deep"),
    ]
    assert [rows(RST, table) for table in marks.tables] == [
        ("code   coins", "a      1\n\nb      2\n"),
        ("| x   | y   |", "| 1   | 2   |\n+-----+-----+\n"),
        ("", "1 2\n"),
    ]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("markdown", "#hashtag\n####### seven\n    # indented\n#\n"),
        ("markdown", "- an item\n---\n> a quotation\n---\n\n---\n"),
        ("markdown", "a long\nparagraph\nof four\nlines\n---\n"),
        ("markdown", "a | b\n--- | --- | ---\n1 | 2\n"),
        ("markdown", "~~~\n# code\n```\n# still\n"),
        ("markdown", "x" * 300 + "\n===\n"),
        ("markdown", "---\n---\n\n===\n---\n"),
        ("text", "x = 1\n# a comment\ny = 2\n"),
        ("rst", "# One\n\nTwo lines\nof text\n-------\n\n----\n\na\n..\n"),
    ],
)
def test_what_only_resembles_a_heading_or_a_table_is_none(kind: str, text: str) -> None:
    assert outline(text, kind) == Marks()


def test_table_at_the_end_of_a_text_ends_with_it() -> None:
    text = "|a|\n|-|\n|1|"
    assert outline(text, "markdown").tables == (Grid(8, 11, "|a|"),)
    assert outline("|a|\n|-|", "markdown").tables == ()


@pytest.mark.parametrize("kind", ["markdown", "rst"])
@pytest.mark.parametrize(
    "piece",
    [
        "#\n",
        "# a\n",
        "a\n===\n",
        "|a|\n|-|\n",
        "|-|\n",
        "```\n",
        "=" * 99,
        "= ",
        "- ",
        "| ",
        "+-",
        "+=\n",
        "= =\na\n",
        "a\n\n",
        "|\\",
    ],
)
def test_marks_of_a_long_text_are_in_order(kind: str, piece: str) -> None:
    """Each line is looked at a few times; looked at from each of the others, a million would take hours."""
    text = piece * (1_000_000 // len(piece))
    marks = outline(text, kind)
    places = [head.at for head in marks.headings] + [table.begins for table in marks.tables]
    assert places == sorted(places)
    assert all(text.find(head.title, head.at) - head.at < 9 for head in marks.headings)


@pytest.mark.parametrize("sign", [" ", "\t", "#", " #", "# ", "|", "-", "="])
@pytest.mark.parametrize("kind", ["markdown", "rst"])
def test_line_without_end_is_looked_at_a_few_times(kind: str, sign: str) -> None:
    """Looked at from each of its signs, it would take hours. White space counts once, and so makes no title long."""
    title = [Heading(0, 1, "a x")] if sign.isspace() and kind == "markdown" else []
    assert outline(f"# a{sign * 1_000_000}x", kind).headings == tuple(title)


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ("# a #", "a"),
        ("# a \t## \t", "a"),
        ("# a#", "a#"),
        ("# a # b", "a # b"),
        ("# C# #", "C#"),
        ("# a \\#b##", "a \\#b##"),
    ],
)
def test_signs_that_close_a_heading_stand_apart(line: str, title: str) -> None:
    assert [head.title for head in outline(line, "markdown").headings] == [title]


def test_heading_is_where_it_is_said_to_be() -> None:
    assert outline("a\n\n## b\n", "markdown") == Marks((Heading(3, 2, "b"),))
