"""Chats and their events in OpenAI's words."""

import json
from typing import Any

import pytest

from dialects.openai.render import chat
from dialects.openai.render.chat import Chunks
from tasks.jobs.lifecycle import Status
from tasks.models.logprobs import Logprob
from tasks.queues.places import Wait
from tasks.streams.events import Delta, Event, Passages, Resumed, Started, ToolCall
from tests.webapi.openai.views import JOB, answered, failed, said

STARTED = Started(1, "w")
CALL = {"id": "call_1", "name": "look", "arguments": '{"a":1}'}


def read(told: bytes) -> list[Any]:
    """The events' JSON; comments and `[DONE]` as they are."""
    events = told.decode().split("\n\n")[:-1]
    return [json.loads(one[6:]) if one.startswith("data: {") else one for one in events]


def chunks(rendering: Chunks, *events: Event) -> list[Any]:
    return read(b"".join(rendering.event(0, event) for event in events))


def test_an_answer_is_told_whole() -> None:
    """Named after its job; tokens add up; what isn't known isn't there."""
    told = chat.completion(answered(), made_by="fp_1")
    assert told["id"] == "chatcmpl-01a21a70232277a2a65cadac254ed11d"
    assert told["created"] == 1767312000
    assert told.get("system_fingerprint") == "fp_1"
    assert told["choices"][0]["message"] == {"role": "assistant", "content": "Hi", "refusal": None, "annotations": []}
    usage = told["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (7, 5, 12)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 3
    assert "system_fingerprint" not in chat.completion(answered())


def test_calls_of_functions_are_told_in_both_ways() -> None:
    """As tools, and as OpenAI told them before; a message of nothing but calls has no text."""
    job = answered(said("", "tool_calls", tool_calls=[CALL]))
    message = chat.completion(job)["choices"][0]["message"]
    function = {"name": "look", "arguments": '{"a":1}'}
    assert message["content"] is None
    assert message.get("tool_calls") == [{"id": "call_1", "type": "function", "function": function}]
    older = chat.completion(job, older=True)["choices"][0]
    assert older["message"].get("function_call") == function
    assert older["finish_reason"] == "function_call"


def test_several_answers_have_their_places() -> None:
    """In the order of the children."""
    told = chat.completion(answered({"choices": [said("a"), said("b", "length")]}))
    assert [(one["index"], one["message"]["content"], one["finish_reason"]) for one in told["choices"]] == [
        (0, "a", "stop"),
        (1, "b", "length"),
    ]


def test_events_are_chunks_of_one_answer() -> None:
    """Who speaks once, then what is said; what is no affair of the client isn't told."""
    told = chunks(Chunks(JOB), STARTED, Delta("Hi"), Resumed(2), Passages([]), Delta(" you"))
    assert [chunk["choices"][0]["delta"] for chunk in told] == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "Hi"},
        {"content": " you"},
    ]
    assert {(chunk["id"], chunk["created"]) for chunk in told} == {
        ("chatcmpl-01a21a70232277a2a65cadac254ed11d", 1767312000)
    }
    assert all("usage" not in chunk for chunk in told)


def test_streamed_calls_are_counted_within_their_choice() -> None:
    """Each with its id and its name, once."""
    rendering = Chunks(JOB)
    called = ToolCall(0, "call_1", "look", "{}")
    (_, first, second) = chunks(rendering, called, ToolCall(1, "call_2", "look", "{}"))
    (_, other) = read(rendering.event(1, called))
    calls = [chunk["choices"][0]["delta"]["tool_calls"][0] for chunk in (first, second, other)]
    assert [(call["index"], call["id"]) for call in calls] == [(0, "call_1"), (1, "call_2"), (0, "call_1")]


def test_a_stream_ends_with_what_was_used_where_that_is_wanted() -> None:
    """Then `[DONE]`; until then every chunk says that it isn't known yet."""
    rendering = Chunks(JOB, include_usage=True)
    first = chunks(rendering, STARTED)
    last, usage, done = read(rendering.choice_ended(0, answered()) + rendering.ended(answered()))
    assert [first[0]["usage"], last["usage"]] == [None, None]
    assert (last["choices"][0]["delta"], last["choices"][0]["finish_reason"]) == ({}, "stop")
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 12)
    assert done == "data: [DONE]"


@pytest.mark.parametrize(
    ("job", "type_", "code"),
    [
        (failed("context_length_exceeded"), "invalid_request_error", "context_length_exceeded"),
        (failed("engine_crashed"), "server_error", "engine_crashed"),
        (failed("cancelled", Status.CANCELLED), "invalid_request_error", "cancelled"),
    ],
)
def test_a_stream_that_fails_ends_with_an_error(job: Any, type_: str, code: str) -> None:
    """Which the client's library raises; no `[DONE]` comes after it."""
    rendering = Chunks(JOB)
    (told,) = read(rendering.choice_ended(0, job) + rendering.ended(job))
    assert (told["error"]["type"], told["error"]["code"], told["error"]["param"]) == (type_, code, None)


def test_who_waits_is_told_so_in_comments() -> None:
    """With what is known of it."""
    rendering = Chunks(JOB)
    assert rendering.waiting(None) == b": still here\n\n"
    assert rendering.waiting(Wait(3, 4.5)) == b": queued, 3 before it, starts in about 4.5 s\n\n"
    assert rendering.waiting(Wait(3, None)) == b": queued, 3 before it\n\n"


def test_probabilities_are_told_beside_their_pieces() -> None:
    """The token as a text and as bytes, where a text can't tell it."""
    token = Logprob.of(b"\xc3", -0.5, (Logprob.of(b"a", -1.0),))
    (_, told) = chunks(Chunks(JOB), Delta("?", logprobs=(token,)))
    (content,) = told["choices"][0]["logprobs"]["content"]
    assert (content["bytes"], content["logprob"]) == ([0xC3], -0.5)
    assert content["top_logprobs"] == [{"token": "a", "logprob": -1.0, "bytes": [97]}]
