"""What is put to a model to have it summarise."""

from typing import Any

import pytest

from tasks.summaries import prompts
from tasks.summaries.manner import STYLES, Manner
from tasks.summaries.prompts import Purpose

WHOLE, PART = Purpose("whole", last=True), Purpose("part", last=False)


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("style", STYLES)
def test_documents_share_the_beginning_of_their_prompts(style: str, told: bool) -> None:
    """All but the title and the text: an engine reads that once."""
    one, other = (
        prompts.put(Manner(style=style), WHOLE, [text], None, 2048, told).text for text in ("A lamp.", "Boats {x}.")
    )
    assert one.index("A lamp.") == other.index("Boats {x}.") > 100


def test_manner_is_in_the_message() -> None:
    """Notes are in the text's own language, and keep what the instruction will want."""
    manner = Manner(instruction="List all {prices}.", sentences=4, language="German")
    last = prompts.put(manner, WHOLE, ["A lamp."], "Lamps", 2048, told=True)
    note = prompts.put(manner, PART, ["A lamp."], "Lamps", 2048, told=True)
    for put in (last, note):
        assert "List all {prices}." in put.text
        assert "Title: Lamps" in put.text
    assert ("German" in last.text, "German" in note.text) == (True, False)
    assert "at most 4 sentences" in last.text


def test_model_that_does_not_do_as_told_gets_examples_and_stops() -> None:
    put = prompts.put(Manner(style="bullets"), WHOLE, ["# Lamps\n\nA lamp."], None, 2048, told=False)
    assert not put.is_message
    assert put.text.count("Text:\n") == 3
    assert put.text.endswith("Points:\n-")
    assert "\n\n" in put.stop


def test_note_leaves_room_for_others() -> None:
    """However small the context: some notes go into one prompt."""
    for context in (512, 2048, 32_768):
        assert 3 * prompts.notes_tokens(context) < context - 110
        longest = Manner(words=1000)
        assert prompts.put(longest, WHOLE, ["x"], None, context, told=True).max_tokens <= context // 3


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"sentences": 1}, "Write one sentence of"),
        ({"sentences": 2}, "Write at most 2 sentences of"),
        ({"sentences": 1, "style": "bullets"}, "Write a list of one point,"),
    ],
)
def test_one_sentence_is_called_so(asked: dict[str, Any], said: str) -> None:
    put = prompts.put(Manner(**asked), Purpose("whole", last=True), ["A text."], None, 2048, told=True)
    assert said in put.text
