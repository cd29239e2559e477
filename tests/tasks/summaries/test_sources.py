"""Where sentences come from."""

import pytest

from tasks.summaries import sources
from tasks.summaries.sources import Part

TEXT = "The red lamp is in the kitchen. It costs 42 coins.\n\nOscar the nurse likes honey. He keeps it in the cellar."
PARTS = [Part(0, 0, 50), Part(1, 52, len(TEXT))]


def test_sentence_names_its_part_and_the_place_in_it() -> None:
    """The likeliest sentence of the likeliest part; none, where the text says nothing of the kind."""
    lamp, honey, nothing = sources.of(
        ["A red lamp stands in the kitchen.", "Honey is kept in Oscar's cellar.", "Ships sail at dawn."], TEXT, PARTS
    )
    assert (lamp.parts[0], TEXT[lamp.begins : lamp.ends]) == (0, "The red lamp is in the kitchen.")
    assert honey.parts == (1,)
    assert (nothing.parts, nothing.begins) == ((), None)


@pytest.mark.parametrize("said", ["Write at most 42 sentences.", "- Costs at most.", "Write is the cellar."])
def test_one_word_in_common_is_no_place(said: str) -> None:
    """Unless the sentence stands there."""
    assert sources.of([said], TEXT, PARTS) == [sources.Source(())]
    assert sources.of(["It is red."], "It is red. It costs 42 coins.", [Part(0, 0, 29)])[0].begins == 0


def test_pages_are_counted_from_one() -> None:
    shown = sources.shown(["A red lamp in the kitchen.", "Oscar likes honey."], TEXT, PARTS, pages=[0, 51])
    assert [each["page"] for each in shown] == [1, 2]
    assert sources.shown(["A red lamp in the kitchen."], TEXT, PARTS, pages=[])[0]["page"] is None


def test_text_without_spaces_is_compared_by_pairs_of_characters() -> None:
    text = "塔高三百米。博物馆每天开放。"
    [source] = sources.of(["博物馆每天都开放。"], text, [Part(0, 0, 6), Part(1, 6, len(text))])
    assert source.parts[0] == 1


def test_sentence_is_the_texts_own_where_it_stands_there_word_for_word() -> None:
    """Without the marks of Markdown too; parts of words and what is put in other words are a model's."""
    text = "# Lamps\n\n* Use the `lamp`\nas [told](http://x/y).\n\nIt is red, and costs 42 coins."
    said = [
        "Use the lamp as told.",
        "It is red, and costs 42 coins.",
        "It is red, and costs 42 coin",
        "The lamp is red.",
    ]
    assert sources.own(said, text) == [True, True, False, False]
    shown = sources.shown(said, text, [Part(0, 0, len(text))], pages=[])
    assert [each["by"] for each in shown] == ["text", "text", "model", "model"]
    assert sources.own(["博物馆每天开放。"], "塔高三百米。博物馆每天开放。") == [True]
