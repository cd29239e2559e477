"""Responses and their events in OpenAI's words."""

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialects.openai.render import responses
from dialects.openai.render.response_shapes import ResponseEvent
from dialects.openai.render.response_stream import Stream
from tasks.doors.answering import StreamLost
from tasks.jobs.lifecycle import Status
from tasks.jobs.view import JobView
from tasks.models.logprobs import Logprob
from tasks.streams.events import (
    Delta,
    Event,
    Passages,
    Progress,
    Question,
    Restarted,
    Resumed,
    Started,
    ToolCall,
    decode,
)
from tests.webapi.openai.views import JOB, answered, failed, said
from webapi.shapes import components

STARTED = Started(1, "w", 7)
BACKGROUND = {"background": True}
CALL = ToolCall(0, "call_1", "look", '{"a":1}')
LIKELY = (Logprob("Hi", -0.5, (Logprob("Ho", -1.0),)),)

FOUND: dict[str, Any] = {"question": "Who?", "passages": []}

Told = list[dict[str, Any]]


def read(sent: bytes) -> Told:
    """The events, each under the name of its type."""
    frames = [frame.split("\n") for frame in sent.decode().split("\n\n")[:-1]]
    told = [json.loads(data.removeprefix("data: ")) for _, data in frames]
    assert [name for name, _ in frames] == [f"event: {each['type']}" for each in told]
    return told


def sent(stream: Stream, events: list[Event], end: JobView | None = None) -> Told:
    told = stream.opening() + b"".join(stream.event(0, event) for event in events)
    return read(told + (stream.ended(end) if end else b""))


def types(told: Told) -> list[str]:
    return [each["type"].removeprefix("response.") for each in told]


def test_a_text_is_told_in_openais_order() -> None:
    """From what was asked to what it came to; what says nothing to a client has no event."""
    told = sent(
        Stream(JOB, {}), [STARTED, Progress(1, 2), Delta("Hi"), Resumed(2), Delta(" you")], answered(said("Hi you"))
    )
    assert types(told) == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    assert [each["sequence_number"] for each in told] == list(range(10))
    assert [each["delta"] for each in told[4:6]] == ["Hi", " you"]
    assert told[6]["text"] == told[7]["part"]["text"] == told[8]["item"]["content"][0]["text"] == "Hi you"
    assert len({each["item_id"] for each in told[3:8]} | {told[2]["item"]["id"], told[8]["item"]["id"]}) == 1
    assert told[-1]["response"]["output"] == [told[8]["item"]]
    assert [each["response"]["status"] for each in (told[0], told[1], told[-1])] == [
        "in_progress",
        "in_progress",
        "completed",
    ]


def test_one_in_the_background_is_queued_first() -> None:
    told = sent(Stream(JOB, BACKGROUND), [STARTED])
    assert types(told) == ["created", "queued", "in_progress"]
    assert [each["response"]["status"] for each in told] == ["queued", "queued", "in_progress"]


def test_a_call_is_told_whole_after_the_text_before_it() -> None:
    result = said("Hm", "tool_calls", tool_calls=[{"id": "call_1", "name": "look", "arguments": '{"a":1}'}])
    told = sent(Stream(JOB, {}), [STARTED, Delta("Hm"), CALL], answered(result))
    assert types(told)[5:] == [
        "output_text.done", "content_part.done", "output_item.done", "output_item.added",
        "function_call_arguments.delta", "function_call_arguments.done", "output_item.done", "completed",
    ]  # fmt: skip
    assert told[-4]["delta"] == told[-3]["arguments"] == told[-2]["item"]["arguments"] == '{"a":1}'
    assert (told[-3]["name"], told[-3]["output_index"], told[8]["item"]["arguments"]) == ("look", 1, "")
    assert told[-1]["response"]["output"] == [told[7]["item"], told[-2]["item"]]


PASSAGE = {"text": "It was Anna.", "external_id": "file-1", "filename": "a.txt", "score": 0.5, "metadata": {"n": 1}}
# Entries as PostgreSQL has them. What readers have been told of these, they are told for ever.
STORED = [
    {"type": "started", "attempt": 1, "worker": "w", "prompt_tokens": 7},
    {"type": "question", "question": "Who?"},
    {"type": "passages", "passages": [PASSAGE]},
    {"type": "progress", "done": 7, "total": 7},
    {"type": "delta", "text": "It was"},
    {"type": "resumed", "attempt": 2, "lost": True},
    {"type": "delta", "text": " Anna."},
    {"type": "tool_call", "item": 0, "id": "call_1", "name": "look", "arguments": "{}"},
]
CITED = {"type": "file_citation", "file_id": "file-1", "filename": "a.txt", "index": 12}


def numbered(stored: list[Any], end: JobView) -> list[str]:
    told = sent(Stream(JOB, BACKGROUND), [decode(each) for each in stored], end)
    return [f"{each['sequence_number']} {each['type'].removeprefix('response.')}" for each in told]


SEARCHED = [
    "0 created", "1 queued", "2 in_progress", "3 output_item.added", "4 file_search_call.in_progress",
    "5 file_search_call.searching", "6 file_search_call.completed", "7 output_item.done", "8 output_item.added",
    "9 content_part.added", "10 output_text.delta", "11 output_text.delta",
]  # fmt: skip
CALLED = [
    "12 output_text.done", "13 content_part.done", "14 output_item.done", "15 output_item.added",
    "16 function_call_arguments.delta", "17 function_call_arguments.done", "18 output_item.done", "19 failed",
]  # fmt: skip
ANSWERED = [
    "12 output_text.annotation.added", "13 output_text.done", "14 content_part.done", "15 output_item.done",
    "16 completed",
]  # fmt: skip
BROKEN_OFF = ["12 output_text.done", "13 content_part.done", "14 output_item.done", "15 cancelled"]


@pytest.mark.parametrize(
    ("stored", "end", "rest"),
    [
        (STORED, failed("internal"), CALLED),
        (STORED[:-1], answered(said("It was Anna.") | FOUND | {"annotations": [CITED]}), ANSWERED),
        (STORED[:-1], failed("", Status.CANCELLED), BROKEN_OFF),
    ],
)
def test_events_of_stored_entries_keep_their_numbers(stored: list[Any], end: JobView, rest: list[str]) -> None:
    """In every version."""
    assert numbered(stored, end) == SEARCHED + rest


def test_what_an_answer_rests_on_is_told_as_its_worker_found_it() -> None:
    """The same in its item, when that is done, and in the response."""
    end = answered(said("It was Anna.") | FOUND | {"annotations": [CITED]})
    told = sent(Stream(JOB, {}), [decode(each) for each in STORED[:-1]], end)
    assert told[-5]["annotation"] == CITED
    assert told[-1]["response"]["output"][1] == told[-2]["item"]
    assert told[-2]["item"]["content"][0]["annotations"] == [CITED]


def test_text_before_a_call_is_whole() -> None:
    """Also where there was no room for anything behind the call: in its event as in the response."""
    result = said("Hm", "length", tool_calls=[{"id": "call_1", "name": "look", "arguments": "{}"}])
    told = sent(Stream(JOB, {}), [STARTED, Delta("Hm"), ToolCall(0, "call_1", "look", "{}")], answered(result))
    items = [each["item"] for each in told if each["type"] == "response.output_item.done"]
    assert told[-1]["type"] == "response.incomplete"
    assert told[-1]["response"]["output"] == items


def test_an_answer_without_words_is_an_empty_message() -> None:
    told = sent(Stream(JOB, {}), [STARTED], answered(said("")))
    assert told[-1]["response"]["output"] == [told[-2]["item"]]
    assert told[-2]["item"]["content"][0]["text"] == ""


def test_how_likely_tokens_were_is_told_where_that_is_asked() -> None:
    """In pieces, and whole."""
    told = sent(
        Stream(JOB, {"include": ["message.output_text.logprobs"], "top_logprobs": 1}),
        [STARTED, Delta("Hi", logprobs=LIKELY)],
        answered({**said("Hi"), "logprobs": [each.plain() for each in LIKELY]}),
    )
    beside = [{"token": "Ho", "logprob": -1.0, "bytes": [72, 111]}]
    expected = [{"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": beside}]
    assert told[4]["logprobs"] == told[5]["logprobs"] == told[6]["part"]["logprobs"] == expected
    assert told[-1]["response"]["output"][0]["content"][0]["logprobs"] == expected
    silent = sent(Stream(JOB, {"top_logprobs": 1}), [STARTED, Delta("Hi", logprobs=LIKELY)])
    assert silent[-1]["logprobs"] == []


def test_tokens_without_text_of_their_own_are_told_with_the_next() -> None:
    """Half a character, and one that never became whole: in the events as in the response."""
    said_of = {"include": ["message.output_text.logprobs"]}
    pieces = [Delta("", logprobs=LIKELY), Delta("Hi", logprobs=LIKELY), Delta("", logprobs=LIKELY)]
    end = answered({**said("Hi"), "logprobs": [each.plain() for each in LIKELY] * 3})
    told = sent(Stream(JOB, said_of), [STARTED, *pieces], end)
    assert [len(each["logprobs"]) for each in told if "logprobs" in each] == [2, 3]
    assert told[-1]["response"]["output"] == [told[-2]["item"]]


@pytest.mark.parametrize(
    ("end", "type", "item"),
    [
        (answered(said("Hi", "length")), "response.incomplete", "incomplete"),
        (failed("engine_error"), "response.failed", "incomplete"),
        (failed("", Status.CANCELLED), "response.cancelled", "incomplete"),
    ],
)
def test_what_ends_otherwise_keeps_what_was_said(end: JobView, type: str, item: str) -> None:
    told = sent(Stream(JOB, {}), [STARTED, Delta("Hi")], end)
    assert (told[-1]["type"], told[-2]["item"]["status"]) == (type, item)
    assert told[-1]["response"]["output"][0]["content"][0]["text"] == "Hi"


def test_errors_are_told_in_openais_codes() -> None:
    """With our own code in the message."""
    theirs, ours = (responses.response(failed(code), {})["error"] for code in ("context_length_exceeded", "internal"))
    assert theirs == {
        "code": "invalid_prompt",
        "message": "context_length_exceeded: because of context_length_exceeded",
    }
    assert ours is not None
    assert ours["code"] == "server_error"


def test_what_was_said_is_told_again() -> None:
    """With what holds where nothing was."""
    told = responses.response(answered(), {"temperature": 0, "tools": [{"type": "function", "name": "f"}]})
    assert (told["temperature"], told["tool_choice"], told["truncation"]) == (0, "auto", "disabled")
    assert told["tools"] == [{"description": None, "parameters": None, "strict": True, "type": "function", "name": "f"}]


CITED_END = answered(said("Hi") | FOUND | {"annotations": [CITED]})
EVENTS = st.lists(
    st.one_of(
        st.builds(Delta, st.text(max_size=3)),
        st.just(CALL),
        st.just(Progress(1, 2)),
        st.just(Resumed(2)),
        st.just(Started(2, "w")),
        st.just(Question("Who?")),
        st.just(Passages([PASSAGE])),
    ),
    max_size=20,
)
ENDS = st.sampled_from(
    [answered(), CITED_END, answered(said("Hi", "length")), failed("internal"), failed("", Status.CANCELLED)]
)


PAGE = {"$ref": "#/components/schemas/ResponseEvent", "components": {"schemas": components([ResponseEvent])}}
ON_THE_PAGE = jsonschema.Draft202012Validator(PAGE)


@settings(max_examples=20)
@given(EVENTS, ENDS, st.booleans())
def test_every_event_is_one_that_the_page_knows(events: list[Event], end: JobView, background: bool) -> None:
    """A client that is made from the page can read them all."""
    for told in sent(Stream(JOB, {"background": background, "include": ["file_search_call.results"]}), events, end):
        ON_THE_PAGE.validate(told)


@given(EVENTS, ENDS, st.booleans(), st.data())
def test_whoever_goes_on_after_an_event_gets_exactly_the_rest(
    events: list[Event], end: JobView, background: bool, data: st.DataObject
) -> None:
    """Whatever happened, numbers have no gap, and the rest is the same for all who ask."""
    asked = {"background": background}
    whole = sent(Stream(JOB, asked), events, end)
    assert [each["sequence_number"] for each in whole] == list(range(len(whole)))
    after = data.draw(st.integers(0, len(whole) - 1))
    for found in (JOB, end):
        assert sent(Stream(found, asked, after), events, end) == whole[after + 1 :]


@given(EVENTS, st.integers(0, 20), st.integers(0, 50))
def test_who_may_have_been_told_otherwise_is_told_so(events: list[Event], kept: int, after: int) -> None:
    """Whoever has no more than was kept goes on as if nothing had happened."""
    known = len(sent(Stream(JOB, {}), events[:kept]))
    stream = Stream(JOB, {}, after)
    stream.opening()
    for event in events[:kept]:
        stream.event(0, event)
    if after >= known:
        with pytest.raises(StreamLost):
            stream.event(0, Resumed(2, lost=True))
    else:
        stream.event(0, Resumed(2, lost=True))


@given(EVENTS, EVENTS, ENDS)
def test_what_comes_anew_goes_on_or_breaks_off(before: list[Event], anew: list[Event], end: JobView) -> None:
    """Never are two histories told as one."""
    stream, told = Stream(JOB, {}), b""
    alone = sent(Stream(JOB, {}), anew, end)
    try:
        for piece in (before, [Restarted(2)], anew):
            told += (b"" if told else stream.opening()) + b"".join(stream.event(0, event) for event in piece)
        told += stream.ended(end)
    except StreamLost as lost:
        error = read(stream.failed(lost.code, str(lost)))
        first = read(told)
        assert first != alone[: len(first)] or len(first) > len(alone) or first[: len(alone)] != alone
        assert (error[0]["type"], error[0]["code"]) == ("error", "stream_lost")
    else:
        assert read(told) == alone


@pytest.mark.parametrize("job", [JOB, answered()])
def test_more_than_there_is_was_never_told(job: JobView) -> None:
    """A number beyond the end is of a history that is gone, if only by one; who has the last event gets no more."""
    events, end = [STARTED, Delta("a")], replace(answered(), status=Status.SUCCEEDED)
    last = len(sent(Stream(job, {}), events, end)) - 1
    assert sent(Stream(job, {}, last), events, end) == []
    for beyond in (last + 1, last + 40):
        with pytest.raises(StreamLost, match=f"ended with event {last};"):
            sent(Stream(job, {}, beyond), events, end)
