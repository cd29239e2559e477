"""Hearing: the engine's pieces as text and calls, however they are cut."""

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.models.engine import OUR_CALLS, CallFormat, Delta
from workers.stages.hearing import Call, Heard, Hearing
from workers.stages.speech import Calls, Speech

BARE = CallFormat('{"name": "', '", "parameters": ', "}", "; ")  # as JSON that is an answer may begin
TAGGED = CallFormat("<function=", ">", "</function>", "\n")
FORMATS = (OUR_CALLS, BARE, TAGGED)
TOOLS: dict[str, dict[str, Any]] = {"weather": {"type": "object"}, "weather_at": {"type": "object"}}

texts = st.text(alphabet='<tool_cal>{"nme": }w\n é', max_size=20)
arguments = st.dictionaries(st.text(max_size=3), st.text(max_size=5) | st.integers() | st.none(), max_size=2)
called = st.lists(st.tuples(st.sampled_from(sorted(TOOLS)), arguments.map(json.dumps)), max_size=3)


def speech(format: CallFormat = OUR_CALLS, calls: Calls = Calls.AFTER_TEXT, **changes: Any) -> Speech:
    return replace(Speech(calls=calls, format=format, tools=TOOLS), **changes)


def pieces(text: str, cuts: Iterable[int]) -> list[Delta]:
    """The text cut at these places, a token each."""
    bounds = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    return [Delta(text[start:end], 1, (start,)) for start, end in itertools.pairwise(bounds) if start < end]


def hear(hearing: Hearing, deltas: Sequence[Delta], reason: str = "stop") -> list[Heard]:
    return [*(heard for delta in deltas for heard in hearing.feed(delta)), *hearing.finish(reason)]


def said(heard: Iterable[Heard]) -> tuple[str, list[tuple[str, str]]]:
    """The text, and the calls."""
    told = list(heard)
    text = "".join(one.text for one in told if isinstance(one, Delta))
    return text, [(one.name, one.arguments) for one in told if isinstance(one, Call)]


def tokens(heard: Iterable[Heard]) -> list[int]:
    """The ids of all tokens that were told, in order."""
    told = [one if isinstance(one, Delta) else one.made_from for one in heard]
    return [token for one in told for token in one.token_ids]


def fits(name: str, arguments: str) -> None:
    json.loads(arguments)


def written(format: CallFormat, calls: Iterable[tuple[str, str]]) -> str:
    return format.separator.join(f"{format.before}{name}{format.between}{given}{format.after}" for name, given in calls)


@given(st.sampled_from(FORMATS), texts, called, st.sets(st.integers(0, 200)))
def test_text_and_calls_are_heard_however_they_are_cut(
    format: CallFormat, text: str, calls: list[tuple[str, str]], cuts: set[int]
) -> None:
    """The same text, the same calls, and every token once in its place."""
    text = text.replace(format.before, "")
    whole = text + written(format, calls)
    if Hearing(speech(format), fits).speech.opening(whole) != len(text):
        return  # the text's end and the call's beginning make another beginning
    deltas = pieces(whole, cuts)
    heard = hear(Hearing(speech(format), fits), deltas)
    assert said(heard) == (text, calls)
    if calls:
        assert tokens(heard) == [delta.token_ids[0] for delta in deltas]
    else:
        assert heard == deltas


@given(texts, st.sets(st.integers(0, 30)))
def test_text_that_only_looks_like_a_beginning_is_told_whole(text: str, cuts: set[int]) -> None:
    """Piece for piece, as it came."""
    text = text.replace(OUR_CALLS.before, "") + "<tool_call>{"
    deltas = pieces(text, cuts)
    assert hear(Hearing(speech(), fits), deltas) == deltas
    assert hear(Hearing(speech(), fits), deltas, "length") == deltas


def test_text_is_told_as_soon_as_it_can_be_no_call() -> None:
    hearing = Hearing(speech(), fits)
    assert said(hearing.feed(Delta("Look <to", 1, (1,)))) == ("", [])
    assert said(hearing.feed(Delta("day>", 1, (2,)))) == ("Look <today>", [])


def test_name_that_no_function_has_is_text() -> None:
    """An answer that is JSON may begin as a call does, of a format without marks."""
    hearing = Hearing(speech(BARE, Calls.INSTEAD), fits)
    assert said(hearing.feed(Delta('{"name": "we', 1, (1,)))) == ("", [])
    assert said(hearing.feed(Delta("sley", 1, (2,)))) == ('{"name": "wesley', [])
    assert said(hearing.feed(Delta('", "parameters": {}}', 1, (3,)))) == ('", "parameters": {}}', [])


def test_mark_within_an_answer_that_has_a_schema_is_text() -> None:
    """Where calls stand instead of a text, they don't begin in its middle; nor does a later attempt hear one there."""
    answer = '{"a": "<function=weather>{}</function>"}'
    for cut in range(len(answer)):
        heard = hear(Hearing(speech(TAGGED, Calls.INSTEAD), fits), pieces(answer, [cut]))
        assert said(heard) == (answer, [])
    later = Hearing(speech(TAGGED, Calls.INSTEAD), fits, spoken=True)
    assert said(hear(later, pieces(answer[7:], [3]))) == (answer[7:], [])


@pytest.mark.parametrize("format", FORMATS)
def test_call_that_is_cut_off_is_nothing(format: CallFormat) -> None:
    """What was said before it is told; where the cut leaves the beginning open, that was text."""
    whole = "Wait. " + written(format, [("weather", '{"a": 1}')])
    for end in range(len(whole)):
        text, calls = said(hear(Hearing(speech(format), fits), pieces(whole[:end], [3]), "length"))
        begun = end >= len("Wait. " + format.before)
        assert (text, calls) == ("Wait. " if begun else whole[:end], [])


def test_call_cut_off_after_another_leaves_that() -> None:
    whole = written(TAGGED, [("weather", "{}"), ("weather_at", '{"a": 1}')])
    for end in range(whole.index("\n"), len(whole)):
        heard = hear(Hearing(speech(TAGGED), fits), pieces(whole[:end], range(end)), "length")
        assert said(heard) == ("", [("weather", "{}")])


def test_later_attempt_hears_what_separates_calls() -> None:
    """It goes on after a call that was told: the separator is no text."""
    rest = TAGGED.separator + written(TAGGED, [("weather", "{}")])
    assert said(hear(Hearing(speech(TAGGED), fits, calls=1), pieces(rest, [1]))) == ("", [("weather", "{}")])


def test_nothing_is_told_before_the_end_where_a_schema_asks_for_more_than_a_grammar_can() -> None:
    hearing = Hearing(Speech(held=True), fits)
    assert list(hearing.feed(Delta("1", 1, (1,)))) == []
    assert hearing.text == "1"
    assert list(hearing.finish("stop")) == [Delta("1", 1, (1,))]


def test_arguments_are_checked_before_the_call_is_told() -> None:
    def unfit(name: str, arguments: str) -> None:
        raise ValueError(name)

    hearing = Hearing(speech(), unfit)
    with pytest.raises(ValueError, match="weather"):
        list(hearing.feed(Delta(written(OUR_CALLS, [("weather", "{}")]), 1, (1,))))
    assert hearing.calls == 0


def test_nothing_but_calls_is_told_where_nothing_else_may_be_said() -> None:
    """Words that an engine says all the same are held back: whoever reads the end finds fault with them."""
    hearing = Hearing(speech(calls=Calls.ONLY), fits)
    assert list(hearing.feed(Delta("Well", 1, (1,)))) == []
    assert hearing.text == "Well"
