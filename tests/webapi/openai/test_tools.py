"""Tools and structured answers as OpenAI's client asks for them, of the demo model on both engines.

It is small and knows no tools: what it calls and fills in makes no sense. That it always fits is the point.
"""

import json
from typing import Any, Literal

import pytest
from openai import BadRequestError, OpenAI
from openai.types.chat import ChatCompletionMessage
from pydantic import BaseModel

from tests.webapi.openai.conftest import CHAT

BOTH = pytest.mark.parametrize("model", [CHAT, "demo-ct"])
ASKED: Any = [{"role": "user", "content": "How warm is it?"}]


class Weather(BaseModel):
    place: Literal["Bern", "Basel"]
    warm: bool


def tool(name: str, **properties: Any) -> Any:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    described = {"name": name, "description": f"To {name}.", "parameters": parameters, "strict": True}
    return {"type": "function", "function": described}


LOOK = tool("look", where={"type": "string", "enum": ["up", "down"]})
COUNT = tool("count", until={"type": "integer"})


def asked(sdk: OpenAI, model: str = CHAT, **more: Any) -> ChatCompletionMessage:
    made = sdk.chat.completions.create(model=model, messages=ASKED, seed=7, max_completion_tokens=120, **more)
    message = made.choices[0].message
    if message.tool_calls:
        assert made.choices[0].finish_reason == "tool_calls"
    assert isinstance(message, ChatCompletionMessage)
    return message


def called(message: ChatCompletionMessage) -> list[tuple[str, Any]]:
    """What it wants called, with which arguments, which are JSON as a text."""
    calls = [call.function for call in message.tool_calls or () if call.type == "function"]
    return [(function.name, json.loads(function.arguments)) for function in calls]


@BOTH
def test_an_answer_fits_its_schema(sdk: OpenAI, model: str) -> None:
    """As the client's own model of it, whole and streamed."""
    parsed = sdk.chat.completions.parse(
        model=model, messages=ASKED, response_format=Weather, max_completion_tokens=60, temperature=1, seed=3
    )
    assert isinstance(parsed.choices[0].message.parsed, Weather)
    with sdk.chat.completions.stream(
        model=model, messages=ASKED, response_format=Weather, max_completion_tokens=60, temperature=1, seed=3
    ) as stream:
        done = stream.get_final_completion()
    assert done.choices[0].message.parsed == parsed.choices[0].message.parsed


@BOTH
def test_a_tool_that_must_be_called_is(sdk: OpenAI, model: str) -> None:
    """The one that is named, or one of all, or one of those that are allowed."""
    both = [LOOK, COUNT]
    named: Any = {"type": "function", "function": {"name": "look"}}
    ((name, arguments),) = called(asked(sdk, model, tools=both, tool_choice=named))
    assert name == "look"
    assert arguments["where"] in ("up", "down")
    assert {name for name, _ in called(asked(sdk, model, tools=both, tool_choice="required"))} <= {"look", "count"}
    allowed: Any = {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "count"}}]},
    }
    counted = called(asked(sdk, model, tools=both, tool_choice=allowed, parallel_tool_calls=False))
    assert [name for name, _ in counted] == ["count"]
    assert isinstance(counted[0][1]["until"], int)


def test_streamed_calls_are_put_together_by_the_client(sdk: OpenAI) -> None:
    """To the same as without a stream."""
    given: Any = {"tools": [LOOK], "tool_choice": "required", "seed": 7, "max_completion_tokens": 120}
    with sdk.chat.completions.stream(model=CHAT, messages=ASKED, **given) as stream:
        kinds = {event.type for event in stream}
        done = stream.get_final_completion().choices[0]
    assert "tool_calls.function.arguments.done" in kinds
    assert done.finish_reason == "tool_calls"
    assert called(done.message) == called(asked(sdk, tools=[LOOK], tool_choice="required"))
    assert all(call.id for call in done.message.tool_calls or ())


def test_functions_are_called_as_they_were_before_tools(sdk: OpenAI) -> None:
    """In the older words, streamed and not."""
    given: Any = {"functions": [LOOK["function"]], "function_call": {"name": "look"}}
    message = asked(sdk, **given)
    assert message.function_call is not None
    assert message.function_call.name == "look"
    assert json.loads(message.function_call.arguments)["where"] in ("up", "down")
    chunks = sdk.chat.completions.create(
        model=CHAT, messages=ASKED, seed=7, max_completion_tokens=120, stream=True, **given
    )
    parts = [part for chunk in chunks for part in chunk.choices]
    told = "".join(part.delta.function_call.arguments or "" for part in parts if part.delta.function_call)
    assert told == message.function_call.arguments
    assert parts[-1].finish_reason == "function_call"


def test_none_is_called_where_none_may_be(sdk: OpenAI) -> None:
    """Tools that are there all the same change nothing then."""
    assert asked(sdk, tools=[LOOK], tool_choice="none").tool_calls is None


def test_any_object_is_json(sdk: OpenAI) -> None:
    """`json_object` asks for no more; an answer that ended for want of room is as far as it came."""
    made = sdk.chat.completions.create(
        model=CHAT,
        messages=ASKED,
        response_format={"type": "json_object"},
        max_completion_tokens=150,
        temperature=0,
    )
    choice = made.choices[0]
    assert (choice.message.content or "").lstrip().startswith("{")
    if choice.finish_reason == "stop":
        assert isinstance(json.loads(choice.message.content or ""), dict)


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"tools": [LOOK], "functions": [LOOK["function"]]}, "functions"),
        ({"tools": [LOOK, LOOK]}, "tools"),
        ({"tools": [LOOK], "tool_choice": {"type": "function", "function": {"name": "none"}}}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, "response_format"),
        ({"tools": [tool("a b")]}, "tools.0.function.name"),
        ({"tools": [tool("look", where={"type": 7})]}, "tools"),
    ],
)
def test_what_contradicts_itself_is_refused_by_name(sdk: OpenAI, given: dict[str, Any], param: str) -> None:
    """Before a job is made."""
    with pytest.raises(BadRequestError) as refused:
        asked(sdk, **given)
    assert (refused.value.param or "").startswith(param)
