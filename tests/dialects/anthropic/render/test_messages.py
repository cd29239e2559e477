"""Answers and their events in Anthropic's words."""

import json
from typing import Any

import pytest

from dialects.anthropic import errors
from dialects.anthropic.render import messages
from dialects.anthropic.render.messages import Events
from tasks.jobs.lifecycle import Status
from tasks.streams.events import Delta, Event, Started, ToolCall
from tests.webapi.openai.views import JOB, answered, failed, said

CALL = {"id": "call_1", "name": "look", "arguments": '{"a":1}'}


def told(rendering: Events, *events: Event, end: Any = None) -> list[tuple[str, Any]]:
    """The name and the data of each event."""
    raw = b"".join(rendering.event(0, event) for event in events)
    raw += rendering.ended(end) if end is not None else b""
    blocks = [block.split("\n") for block in raw.decode().split("\n\n")[:-1]]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


def test_an_answer_is_told_whole() -> None:
    """Named after its job; the prompt's tokens are without those that were cached."""
    message = messages.message(answered(lane="batch"))
    assert message["id"] == "msg_01a21a70232277a2a65cadac254ed11d"
    assert message["content"] == [{"type": "text", "text": "Hi"}]
    assert (message["stop_reason"], message["stop_sequence"]) == ("end_turn", None)
    assert message["usage"] == {
        "input_tokens": 4,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 3,
        "output_tokens": 5,
        "service_tier": "batch",
    }
    assert messages.message(answered(said("", "length")))["content"] == [{"type": "text", "text": ""}]


def test_calls_of_tools_are_blocks() -> None:
    """After the text, where there is any."""
    used = {"type": "tool_use", "id": "call_1", "name": "look", "input": {"a": 1}}
    message = messages.message(answered(said("", "tool_calls", tool_calls=[CALL])))
    assert (message["content"], message["stop_reason"]) == ([used], "tool_use")
    assert messages.message(answered(said("So", "tool_calls", tool_calls=[CALL])))["content"] == [
        {"type": "text", "text": "So"},
        used,
    ]


def test_a_stream_has_blocks_that_begin_and_end() -> None:
    """What came in one block is in its deltas; usage comes at the end."""
    events = [Started(1, "w", 7), Delta("H"), Delta("i"), ToolCall(1, "call_1", "look", '{"a":1}')]
    seen = told(Events(JOB), *events, end=answered(said("Hi", "tool_calls", tool_calls=[CALL])))
    assert [name for name, _ in seen] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert all(name == data["type"] for name, data in seen)
    assert seen[0][1]["message"]["usage"]["input_tokens"] == 7
    assert [data["index"] for _, data in seen if "index" in data] == [0, 0, 0, 0, 1, 1, 1]
    assert seen[5][1]["content_block"] == {"type": "tool_use", "id": "call_1", "name": "look", "input": {}}
    assert seen[6][1]["delta"] == {"type": "input_json_delta", "partial_json": '{"a":1}'}
    assert (seen[8][1]["delta"]["stop_reason"], seen[8][1]["usage"]["output_tokens"]) == ("tool_use", 5)


def test_an_empty_answer_is_an_empty_text() -> None:
    """Whoever adds the deltas up has a text all the same."""
    seen = told(Events(JOB), end=answered(said("")))
    assert [name for name, _ in seen][:4] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
    ]


@pytest.mark.parametrize(
    ("code", "type_"),
    [
        ("context_length_exceeded", "invalid_request_error"),
        ("deadline_exceeded", "timeout_error"),
        ("poison", "api_error"),
    ],
)
def test_a_failure_ends_the_stream_with_its_error(code: str, type_: str) -> None:
    """In the envelope that all errors have."""
    [(name, data)] = told(Events(JOB), end=failed(code))
    assert (name, data["type"]) == ("error", "error")
    assert data["error"] == {"type": type_, "message": f"because of {code}"}


def test_errors_name_fields_as_clients_wrote_them() -> None:
    """Ours are called otherwise."""
    status, body = errors.told(422, "invalid_value", "too long", "input.turns.0", "req_1")
    assert (status, body["error"]) == (400, {"type": "invalid_request_error", "message": "messages.0: too long"})
    assert body["request_id"] == "req_1"
    assert errors.told(422, "model_not_found", "no such model", "model")[0] == 404
    assert errors.failed(failed("x", Status.CANCELLED))["error"]["type"] == "api_error"
