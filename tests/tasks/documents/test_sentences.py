"""Sentences of answers, and what is quoted in them."""

import pytest

from tasks.documents import sentences


def split(text: str) -> list[str]:
    return [span.of(text) for span in sentences.split(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The boat costs 42 coins. It is red!", ["The boat costs 42 coins.", "It is red!"]),
        ("It holds 1.8 litres. Version 2.0 is out.", ["It holds 1.8 litres.", "Version 2.0 is out."]),
        ("Ask Dr. Mare or J. Smith, e.g. at noon. Now.", ["Ask Dr. Mare or J. Smith, e.g. at noon.", "Now."]),
        ("One. [1] Two.[2, 3] Three [4].", ["One. [1]", "Two.[2, 3]", "Three [4]."]),
        ('It says "It is red. It is big." and ends. So.', ['It says "It is red. It is big." and ends.', "So."]),
        ('"It is done." Then they left.', ['"It is done."', "Then they left."]),
        ("1. First thing\n2. Second", ["1. First thing", "2. Second"]),
        ("塔高333米。它很高！是", ["塔高333米。", "它很高！", "是"]),
        ("No end", ["No end"]),
        ("lift was measured . a theory is given .", ["lift was measured .", "a theory is given ."]),
        ("...\n[1]\n---", []),
        ("", []),
    ],
)
def test_sentences_end_where_a_reader_would_say(text: str, found: list[str]) -> None:
    assert split(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('He said "first" and “second”.', ["first", "second"]),
        ("Er sagte „drei“, „vier” und «fünf».", ["drei", "vier", "fünf"]),
        ("「六」と『七』", ["六", "七"]),
        ('an open " mark\nand "closed" here', ["closed"]),
        ('5" and nothing', []),
        ('"" "…"', []),
    ],
)
def test_quotes_are_what_stands_between_marks_on_a_line(text: str, found: list[str]) -> None:
    assert [span.of(text) for span in sentences.quotes(text)] == found


def test_marks_are_numbers_each_once() -> None:
    text = "It is so [2], as said [1, 3] [2], but not [0x1] or [1234]."
    assert sentences.marks(text) == [2, 1, 3]
    assert sentences.without_marks("so [2].") == "so  ."


@pytest.mark.parametrize("part", ['"', "“", ". ", "a.", "[1] ", ".[1", "No. ", '"a' + " " * 300])
def test_hostile_text_is_split_with_nothing_lost_or_read_twice(part: str) -> None:
    """Spans are in order and apart, whatever is repeated; a time in the text's square would not end."""
    text = part * (400_000 // len(part))
    ends = 0
    for span in sentences.split(text):
        assert ends <= span.begins < span.ends
        ends = span.ends
