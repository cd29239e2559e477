"""Items as clients send them, as they are kept, and as turns."""

from typing import Any

import pytest

from dialects.openai import items
from tasks import errors
from tasks.kinds.generation import Text, ToolCall, Turn

CALL = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "Snow."}


def user(text: str) -> Turn:
    return Turn("user", (Text(text),))


def test_a_text_is_what_a_user_says() -> None:
    [item] = items.read("Hello.")
    assert item == {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello."}]}
    assert items.turns([item]) == (user("Hello."),)


def test_messages_are_kept_in_parts() -> None:
    """Each of the type that its role's have, whatever the client called it; ids and annotations stay."""
    given: Any = [
        {"role": "developer", "content": "Be short."},
        {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "text", "text": "b"}]},
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "c", "annotations": [{"type": "file_citation"}]}],
        },
    ]
    system, asked, said = items.read(given)
    assert [part["type"] for part in system["content"] + asked["content"]] == ["input_text"] * 3
    assert (said["id"], said["status"], said["content"][0]["annotations"]) == (
        "msg_1",
        "completed",
        [{"type": "file_citation"}],
    )
    roles = [(turn.role, turn.text) for turn in items.turns([system, asked, said])]
    assert roles == [("system", "Be short."), ("user", "a\nb"), ("assistant", "c")]
    assert items.read([system, asked, said]) == [system, asked, said]


def test_calls_belong_to_what_was_said_before_them() -> None:
    """One turn, as the model said it; what isn't for it to read is left out."""
    given: Any = [
        "Look.",
        {"role": "assistant", "content": "I look."},
        CALL,
        CALL | {"call_id": "c2"},
        OUTPUT,
        OUTPUT | {"call_id": "c2", "output": [{"type": "input_text", "text": "Rain."}]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "file_search_call", "id": "fs_1", "queries": ["q"]},
        CALL | {"call_id": "c3"},
    ]
    kept = items.read([{"role": "user", "content": given[0]}, *given[1:]])
    look, again = ToolCall("c1", "look", "{}"), ToolCall("c2", "look", "{}")
    assert items.turns(kept) == (
        user("Look."),
        Turn("assistant", (Text("I look."),), (look, again)),
        Turn("tool", (Text("Snow."),), tool_call_id="c1"),
        Turn("tool", (Text("Rain."),), tool_call_id="c2"),
        Turn("assistant", (Text(""),), (ToolCall("c3", "look", "{}"),)),
    )


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (1, "input"),
        ([1], "input.0"),
        ([{"type": 1}], "input.0.type"),
        ([{"role": "tool", "content": "x"}], "input.0.role"),
        ([{"role": "user", "content": ""}], "input.0.content"),
        ([{"role": "user", "content": None}], "input.0.content"),
        ([{"role": "user", "content": [1]}], "input.0.content.0.type"),
        ([{"role": "user", "content": [{"type": "input_text"}]}], "input.0.content.0.text"),
        ([{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}], "input.0.content.0.type"),
        ([{"role": "user", "content": [{"type": "input_text", "text": "x"}] * 101}], "input.0.content"),
        ([CALL | {"arguments": {}}], "input.0.arguments"),
        ([CALL | {"call_id": ""}], "input.0.call_id"),
        ([OUTPUT | {"output": {}}], "input.0.output"),
        ([{"type": "item_reference"}], "input.0.id"),
        ([{"type": "reasoning", "summary": "x"}], "input.0.summary"),
        ([{"role": "user", "content": "x", "id": "i" * 201}], "input.0.id"),
        ([{"role": "user", "content": "x"}] * 1001, "input"),
    ],
)
def test_what_is_no_item_is_refused_by_its_place(given: Any, field: str) -> None:
    with pytest.raises(errors.InvalidField) as refused:
        items.read(given)
    assert refused.value.field == field
