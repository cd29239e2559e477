"""OpenAI's request for a chat, read into ours."""

from typing import Any

import marshmallow as ma
import pytest

from dialects.openai.requests.chat import ChatCompletionRequest, submission
from dialects.wishes import Wishes
from tasks import errors
from tasks.kinds.generation import Generation, Text, ToolCall

WISHES = Wishes(60.0, False)
HELLO: Any = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def read(**more: Any) -> Generation:
    return submission(ChatCompletionRequest().load({**HELLO, **more}), WISHES).request


def test_what_isnt_said_is_openais_usual() -> None:
    """One answer, by the model's own template, not to be kept."""
    asked = submission(ChatCompletionRequest().load(HELLO), WISHES)
    assert (asked.type, asked.model, asked.lane, asked.store) == ("chat", "m", "interactive", False)
    assert asked.request.choices == 1
    assert asked.request.max_tokens is None
    assert [(turn.role, turn.parts) for turn in asked.request.turns or ()] == [("user", (Text("Hi"),))]


def test_nothing_is_said_by_null() -> None:
    """Clients send it for what they weren't told."""
    nothing = dict.fromkeys(("temperature", "stop", "tools", "logit_bias", "n", "seed", "response_format", "store"))
    assert read(**nothing) == read()


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [
        ({"max_tokens": 3}, "max_tokens", 3),
        ({"max_tokens": 3, "max_completion_tokens": 4}, "max_tokens", 4),
        ({"stop": "a"}, "stop", ("a",)),
        ({"stop": ["a", "b"]}, "stop", ("a", "b")),
        ({"seed": -1}, "seed", 2**31 - 1),
        ({"logit_bias": {"7": -100}}, "logit_bias", {7: -100.0}),
        ({"logprobs": True}, "logprobs", 0),
        ({"logprobs": True, "top_logprobs": 4}, "logprobs", 4),
        ({"n": 4}, "choices", 4),
        ({"parallel_tool_calls": False}, "parallel_tool_calls", False),
    ],
)
def test_fields_are_ours_by_another_name(given: dict[str, Any], field: str, value: Any) -> None:
    """Each, as our request has it."""
    assert getattr(read(**given), field) == value


def test_a_top_p_of_nothing_is_the_likeliest_token() -> None:
    """Samplers don't take it."""
    assert (read(top_p=0).sampling.top_p, read(top_p=0).sampling.top_k) == (1.0, 1)


def test_roles_and_calls_are_turns() -> None:
    """A developer is the system; a function's answer names its call; clients' own notes are passed over."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}, "index": 0}
    turns = read(
        messages=[
            {"role": "developer", "content": "Be kind."},
            {"role": "assistant", "content": None, "tool_calls": [call], "annotations": []},
            {"role": "tool", "tool_call_id": "c", "content": "1"},
            {"role": "assistant", "function_call": {"name": "g", "arguments": "{}"}},
            {"role": "function", "name": "g", "content": "2"},
        ]
    ).turns
    assert [turn.role for turn in turns or ()] == ["system", "assistant", "tool", "assistant", "tool"]
    assert [turn.tool_calls for turn in turns or () if turn.tool_calls] == [
        (ToolCall("c", "f", "{}"),),
        (ToolCall("g", "g", "{}"),),
    ]
    assert [turn.tool_call_id for turn in turns or () if turn.tool_call_id] == ["c", "g"]


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"messages": [{"role": "user", "content": ""}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0.text"),
        ({"messages": [{"role": "tool", "content": "1"}]}, "messages.0.tool_call_id"),
        ({"top_logprobs": 1}, "top_logprobs"),
        ({"response_format": {"type": "yaml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
        ({"tool_choice": "any"}, "tool_choice"),
    ],
)
def test_what_is_wrong_is_told_by_its_path(given: dict[str, Any], path: str) -> None:
    """As OpenAI's clients call it."""
    with pytest.raises(errors.InvalidField) as refused:
        read(**given)
    assert refused.value.field == path


@pytest.mark.parametrize("bias", [{"foo": 0}, {"7": 101}, {"7": True}, {"-7": 1}])
def test_biases_are_of_tokens(bias: dict[str, Any]) -> None:
    """Ids, and numbers within their bounds."""
    with pytest.raises(ma.ValidationError):
        read(logit_bias=bias)
