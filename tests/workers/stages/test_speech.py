"""What may be said: as grammars of all of it, and of the rest."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import errors
from tasks.kinds.generation import Generation, Shape, Tool, Turn
from tasks.models.engine import OUR_CALLS, CallFormat
from tasks.shapes import following
from tasks.streams.events import Delta, ToolCall
from tests.workers.conftest import SHAPER
from workers.stages import speech
from workers.stages.speech import Calls, Speech

CITY = {"type": "object", "properties": {"city": {"enum": ["Bern", "Rome"]}}, "required": ["city"]}
CITY |= {"additionalProperties": False}
WEATHER, TIME = Tool("weather", None, CITY), Tool("time")
HERMES = CallFormat('\n<tool_call>\n{"name": "', '", "arguments": ', "}\n</tool_call>", "")
CALL = '<tool_call>{"name": "weather", "arguments": {"city":"Bern"}}</tool_call>'
OTHER = '<tool_call>{"name": "time", "arguments": {"at":[1]}}</tool_call>'
SHAPE = Shape({"type": "integer"})


def of(format: CallFormat = OUR_CALLS, **asked: Any) -> Speech:
    return speech.of(Generation(turns=(Turn("user", ()),), **asked), format, SHAPER)


def allows(allowed: Speech, text: str) -> bool:
    assert allowed.grammar is not None
    return following.accepts(allowed.grammar, text)


def test_without_tools_and_shape_anything_may_be_said() -> None:
    """Also where tools are given that may not be called."""
    assert of() == speech.ANYTHING
    assert of(tools=(WEATHER,), tool_choice="none") == speech.ANYTHING
    assert speech.ANYTHING.left("whatever") is None


@pytest.mark.parametrize(
    ("asked", "where", "allowed", "refused"),
    [
        ({}, Calls.AFTER_TEXT, ["", "Hi", CALL, f"Hi <{CALL}{OTHER}", "<tool_call>{"], [f"{CALL} Hi", f"{CALL}Hi"]),
        ({"tool_choice": "auto", "parallel_tool_calls": False}, Calls.AFTER_TEXT, [CALL], [CALL + OTHER]),
        ({"tool_choice": "required"}, Calls.ONLY, [CALL, OTHER, CALL + OTHER], ["", "Hi", "Hi" + CALL]),
        ({"tool_choice": "weather"}, Calls.ONLY, [CALL, CALL + CALL], [OTHER, CALL + OTHER, ""]),
        ({"shape": SHAPE}, Calls.INSTEAD, [CALL, "12"], ["", "Hi", "12" + CALL]),
        ({"shape": SHAPE, "tool_choice": "required"}, Calls.ONLY, [CALL], ["12"]),
        ({"shape": SHAPE, "tool_choice": "none"}, Calls.NOWHERE, ["12"], [CALL]),
        ({"shape": Shape(), "tools": ()}, Calls.NOWHERE, ["{}", '{"a": [1]}'], ["[]", "{"]),
    ],
)
def test_choice_of_tools_says_what_may_stand_where(
    asked: dict[str, Any], where: Calls, allowed: Sequence[str], refused: Sequence[str]
) -> None:
    told = of(**{"tools": (WEATHER, TIME), **asked})
    assert told.calls is where
    assert [text for text in allowed if not allows(told, text)] == []
    assert [text for text in refused if allows(told, text)] == []


def test_arguments_and_names_are_those_of_the_tools() -> None:
    told = of(tools=(WEATHER, TIME))
    assert not allows(told, CALL.replace("Bern", "Mars"))
    assert not allows(told, CALL.replace("weather", "climate"))


def test_schema_that_a_grammar_cannot_hold_is_checked_before_anything_is_told() -> None:
    told = of(shape=Shape({"type": "integer", "multipleOf": 7}))
    assert told.held
    assert told.schema == {"type": "integer", "multipleOf": 7}
    assert not of(shape=SHAPE).held


@given(st.text(alphabet="<tol_ca>{x", max_size=30))
def test_any_text_without_the_mark_may_be_said_and_left(text: str) -> None:
    """The automaton knows how much of the mark the text's end is, wherever it is cut."""
    format = CallFormat("<<tool", ">", "!")
    told = of(format, tools=(TIME,))
    if "<<tool" in text:
        return
    assert allows(told, text)
    assert allows(told, text + "<<tooltime>{}!") == (format.before not in (text + "<<tool")[:-1])
    left = told.left(text)
    assert left is not None


@pytest.mark.parametrize("cut", range(1, len(CALL) + 1))
def test_rest_of_a_call_is_what_was_left_of_it(cut: int) -> None:
    told = of(tools=(WEATHER,), parallel_tool_calls=False)
    assert told.grammar is not None
    left = following.rest(told.grammar, "Hi " + CALL[:cut])
    assert left is not None
    assert following.accepts(left, CALL[cut:])
    assert following.complete(left) == (cut == len(CALL) or cut < len(OUR_CALLS.before))


def test_what_was_said_that_no_grammar_allows_cannot_be_gone_on_with() -> None:
    with pytest.raises(errors.EngineRefused, match="doesn't fit"):
        of(shape=SHAPE).left("Hi")


def test_whole_answer_leaves_nothing() -> None:
    assert of(shape=Shape({"const": 1})).left("1") == speech.OVER


def test_calls_are_written_as_the_model_wrote_them() -> None:
    """Told calls and texts come back as one text that the grammar goes on after."""
    told = of(HERMES, tools=(WEATHER, TIME))
    assert (told.format.before[0], told.format.separator) == ("<", "\n")  # an answer begins with no white space
    events = [Delta("Hi "), ToolCall(0, "1", "weather", '{"city":"Bern"}'), ToolCall(0, "2", "time", "{}")]
    raw = told.raw(events)
    assert raw.count("\n<tool_call>") == 1
    assert allows(told, raw)
    found = told.call(raw)
    assert found is not None
    assert (found.name, raw[: found.start]) == ("weather", "Hi ")
    assert told.call(raw[found.end :], first=False) is not None


def test_arguments_nested_too_deep_to_be_read_are_no_call() -> None:
    told = of(tools=(TIME,))
    deep = '<tool_call>{"name": "time", "arguments": {"a":' + "[" * 100_000 + "]" * 100_000 + "}}</tool_call>"
    assert told.call(deep) is None
    assert told.has_begun(deep)


def test_two_tools_of_one_schema_keep_their_names() -> None:
    told = of(tools=(WEATHER, Tool("forecast", None, CITY)), tool_choice="required")
    assert json.loads(CALL[len("<tool_call>") : -len("</tool_call>")])["name"] == "weather"
    assert allows(told, CALL)
    assert allows(told, CALL.replace("weather", "forecast"))
