"""Requests of Anthropic's clients, read into ours."""

from typing import Any

import pytest

from dialects.anthropic.requests import messages
from dialects.anthropic.requests.messages import AnthropicCountRequest, AnthropicMessageRequest
from dialects.fields import load
from dialects.wishes import Wishes
from tasks.errors import InvalidField
from tasks.kinds.generation import Generation, Shape, Text, Tool, ToolCall, Turn

LOOK = {"name": "look", "description": "Looks.", "input_schema": {"type": "object"}}
ASKED: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Why?"}]}


def read(**changes: Any) -> Generation:
    given = load(AnthropicMessageRequest(), {**ASKED, **changes})
    return messages.submission(given, Wishes(0, else_job=False)).request


def turns(*said: tuple[str, Any], **changes: Any) -> tuple[Turn, ...] | None:
    return read(messages=[{"role": role, "content": content} for role, content in said], **changes).turns


def block(type: str, **members: Any) -> dict[str, Any]:
    return {"type": type, **members}


BARE_CALL = block("tool_use", id="x", name="y")


def turn(role: str, *texts: str, **more: Any) -> Turn:
    return Turn(role, tuple(map(Text, texts)), **more)


def test_a_request_is_a_chat() -> None:
    """With what is said of how it is drawn."""
    drawn = {"temperature": 0.5, "top_k": 3, "stop_sequences": ["x"], "metadata": {"user_id": "u"}}
    given = load(AnthropicMessageRequest(), {**ASKED, **drawn})
    asked = messages.submission(given, Wishes(0, else_job=False, lane="batch"))
    assert (asked.type, asked.model, asked.lane, asked.metadata) == ("chat", "m", "batch", {"user_id": "u"})
    assert (asked.request.max_tokens, asked.request.stop) == (9, ("x",))
    assert (asked.request.sampling.temperature, asked.request.sampling.top_k) == (0.5, 3)
    assert asked.request.turns == (turn("user", "Why?"),)


def test_what_one_side_says_at_a_stretch_is_one_turn() -> None:
    """The system's words come first, whether they are a text or blocks."""
    blocks = [block("text", text="One.", cache_control={"type": "ephemeral"}), block("text", text="Two.")]
    said = turns(("user", "a"), ("user", blocks), ("assistant", "b"), ("user", "c"), system=blocks)
    assert said == (
        turn("system", "One.", "Two."),
        turn("user", "a", "One.", "Two."),
        turn("assistant", "b"),
        turn("user", "c"),
    )


def test_tools_and_what_they_answered_are_turns() -> None:
    """A result stands by itself, before what the user says beside it; thoughts of other models are left out."""
    call = block("tool_use", id="call_1", name="look", input={"at": "ä"})
    results = [
        block("tool_result", tool_use_id="call_1", content=[block("text", text="sea")]),
        block("tool_result", tool_use_id="call_2"),
        block("text", text="And now?"),
    ]
    said = turns(("user", "Look."), ("assistant", [block("thinking", thinking="…"), call]), ("user", results))
    assert said == (
        turn("user", "Look."),
        turn("assistant", "", tool_calls=(ToolCall("call_1", "look", '{"at": "ä"}'),)),
        turn("tool", "sea", tool_call_id="call_1"),
        turn("tool", "", tool_call_id="call_2"),
        turn("user", "And now?"),
    )


@pytest.mark.parametrize(
    ("choice", "wanted", "parallel"),
    [
        ({"type": "auto"}, "auto", True),
        ({"type": "none"}, "none", True),
        ({"type": "any", "disable_parallel_tool_use": True}, "required", False),
        ({"type": "tool", "name": "look"}, "look", True),
    ],
)
def test_tools_are_offered_and_chosen(choice: dict[str, Any], wanted: str, parallel: bool) -> None:
    """In our words."""
    asked = read(tools=[LOOK], tool_choice=choice)
    assert asked.tools == (Tool("look", "Looks.", {"type": "object"}),)
    assert (asked.tool_choice, asked.parallel_tool_calls) == (wanted, parallel)


def test_an_answer_may_have_to_fit_a_schema() -> None:
    """As `output_config` says it."""
    schema = {"type": "object"}
    assert read(output_config={"format": {"type": "json_schema", "schema": schema}}).shape == Shape(schema)
    assert read(thinking={"type": "disabled"}, speed="standard", service_tier="auto").shape is None


def test_a_conversation_is_counted_with_what_it_is_answered_with() -> None:
    """A speed that asks for nothing is taken; another is refused."""
    talk = {"model": "m", "messages": ASKED["messages"], "thinking": {"type": "disabled"}}
    wishes = Wishes(0, else_job=False)
    assert messages.count(load(AnthropicCountRequest(), talk | {"speed": "standard"}), wishes).type == messages.COUNT
    with pytest.raises(InvalidField, match="no model here"):
        messages.count(load(AnthropicCountRequest(), talk | {"speed": "fast"}), wishes)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"n": 2}, "n"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [block("image", source={})]}]}, "messages.0.content.0.type"),
        ({"messages": [{"role": "user", "content": [block("text")]}]}, "messages.0.content.0.text"),
        ({"messages": [{"role": "user", "content": [block("tool_result")]}]}, "messages.0.content.0.tool_use_id"),
        ({"messages": [{"role": "assistant", "content": "So"}]}, "messages"),
        ({"messages": [{"role": "assistant", "content": [BARE_CALL]}]}, "messages.0.content.0.input"),
        ({"system": [7]}, "system.0.type"),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, "thinking"),
        ({"inference_geo": "eu"}, "inference_geo"),
        ({"output_config": {"effort": "high"}}, "output_config.effort"),
        ({"tools": [{"name": "web_search", "type": "web_search_20250305"}]}, "tools.0.type"),
        ({"tools": [{"name": "look"}]}, "tools.0.input_schema"),
        ({"tools": [LOOK, LOOK]}, "tools"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tools": [LOOK], "tool_choice": {"type": "tool", "name": "hear"}}, "tool_choice.name"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_by_its_name(changes: dict[str, Any], field: str) -> None:
    """The path is that of the client's own field."""
    with pytest.raises(InvalidField) as refused:
        read(**changes)
    assert refused.value.field == field
