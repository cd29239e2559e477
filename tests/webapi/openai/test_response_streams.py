"""The events of responses, as OpenAI's client reads them: as they come, and again."""

from typing import Any

import httpx
import pytest
from openai import BadRequestError, OpenAI
from openai.types.responses import ResponseStreamEvent, ResponseTextDeltaEvent
from pydantic import BaseModel

from tests.support.platform import Stack
from tests.support.waiting import until
from tests.webapi.openai.conftest import CHAT, SLOW, Jobs

STORY: Any = {"model": CHAT, "input": "Tell me a story about Anna.", "max_output_tokens": 40, "temperature": 0}
LONG: Any = {"model": SLOW, "input": " ".join(str(n) for n in range(60)), "background": True}
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a town.",
    "parameters": {
        "type": "object",
        "properties": {"town": {"type": "string", "enum": ["Bern", "Rome"]}},
        "required": ["town"],
        "additionalProperties": False,
    },
    "strict": True,
}


def numbers(events: list[ResponseStreamEvent]) -> list[int]:
    return [event.sequence_number for event in events]


def text(events: list[ResponseStreamEvent]) -> str:
    return "".join(event.delta for event in events if isinstance(event, ResponseTextDeltaEvent))


def plain(events: list[ResponseStreamEvent]) -> list[dict[str, Any]]:
    return [event.to_dict() for event in events]


def test_a_stream_says_what_the_response_is(sdk: OpenAI) -> None:
    """Numbered from 0 without a gap; its last event has what is found later."""
    events = list(sdk.responses.create(**STORY, stream=True))
    assert numbers(events) == list(range(len(events)))
    last = events[-1]
    assert last.type == "response.incomplete"
    assert text(events) == last.response.output_text == sdk.responses.create(**STORY).output_text
    assert sdk.responses.retrieve(last.response.id) == last.response


def test_a_stream_is_read_again(sdk: OpenAI) -> None:
    """From its first event, or after any."""
    events = list(sdk.responses.create(**STORY, stream=True))
    assert events[-1].type == "response.incomplete"
    response_id = events[-1].response.id
    assert plain(list(sdk.responses.retrieve(response_id, stream=True))) == plain(events)
    for after in (0, 3, len(events) - 2, len(events) - 1):
        rest = list(sdk.responses.retrieve(response_id, stream=True, starting_after=after))
        assert plain(rest) == plain(events[after + 1 :])


def test_one_in_the_background_goes_on_without_its_client(sdk: OpenAI) -> None:
    """It is read on during the run, after what was read, and comes to its end."""
    with sdk.responses.create(**LONG, stream=True) as opened:
        had = [event for event, _ in zip(opened, range(8), strict=False)]
    assert [event.type for event in had[:3]] == ["response.created", "response.queued", "response.in_progress"]
    assert had[0].type == "response.created"
    response_id = had[0].response.id
    rest = list(sdk.responses.retrieve(response_id, stream=True, starting_after=had[-1].sequence_number))
    assert numbers(had + rest) == list(range(len(had) + len(rest)))
    assert rest[-1].type == "response.completed"
    assert text(had + rest) == rest[-1].response.output_text


def test_one_in_the_background_is_polled_and_cancelled(sdk: OpenAI, jobs: Jobs) -> None:
    """Asked twice, nothing more happens; what was said stays."""
    made = sdk.responses.create(**LONG)
    assert (made.status, made.background, made.output) == ("queued", True, [])
    with sdk.responses.retrieve(made.id, stream=True) as opened:
        next(event for event in opened if isinstance(event, ResponseTextDeltaEvent))
        ended = sdk.responses.cancel(made.id)
        last = list(opened)[-1]
    assert (ended.status, last.type) == ("cancelled", "response.cancelled")
    assert sdk.responses.cancel(made.id) == ended == sdk.responses.retrieve(made.id)
    assert ended.output_text
    assert jobs.get(f"job_{made.id.removeprefix('resp_')}")["status"] == "cancelled"


def test_only_one_in_the_background_is_cancelled(sdk: OpenAI) -> None:
    made = sdk.responses.create(**STORY)
    with pytest.raises(BadRequestError):
        sdk.responses.cancel(made.id)


def test_where_a_stream_would_begin_says_nothing_without_one(sdk: OpenAI) -> None:
    made = sdk.responses.create(**STORY)
    assert sdk.responses.retrieve(made.id, starting_after=1) == made


def test_one_that_runs_is_erased(sdk: OpenAI, stack: Stack, jobs: Jobs) -> None:
    """It is ended first, and nothing of it is left."""
    made = sdk.responses.create(**LONG)
    job_id = f"job_{made.id.removeprefix('resp_')}"
    until(lambda: jobs.has_stream(job_id))
    sdk.responses.delete(made.id)
    assert httpx.get(f"{stack.url}/v1/jobs/{job_id}", headers=stack.headers).status_code == 404
    until(lambda: jobs.rows_of(job_id) == [0, 0, 0, 0] and not jobs.has_stream(job_id))


def test_tools_are_called_and_answered(sdk: OpenAI) -> None:
    """The model's call comes as an item; with its output, the response goes on."""
    asked: Any = {"model": CHAT, "input": "How is the weather in Bern?", "tools": [WEATHER], "temperature": 0}
    events = list(sdk.responses.create(**asked, tool_choice={"type": "function", "name": "weather"}, stream=True))
    assert events[-1].type == "response.completed"
    first = events[-1].response
    [call] = first.output
    assert call.type == "function_call"
    assert [event.type.removeprefix("response.") for event in events[2:-1]] == [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
    ]
    given: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "Snow."}]
    second = sdk.responses.create(
        model=CHAT,
        previous_response_id=first.id,
        input=given,
        tools=[WEATHER],
        tool_choice="none",
        max_output_tokens=20,
    )
    assert second.output[0].type == "message"
    with pytest.raises(BadRequestError, match="No tool output found"):
        sdk.responses.create(model=CHAT, previous_response_id=first.id, input="And in Rome?")


class Town(BaseModel):
    name: str
    people: int


def test_answers_have_the_shape_that_is_asked(sdk: OpenAI) -> None:
    """As OpenAI's client reads it into a class of one's own; streamed, too."""
    asked: Any = {"model": CHAT, "input": "Tell me of Bern.", "temperature": 0}
    parsed = sdk.responses.parse(**asked, text_format=Town)
    assert isinstance(parsed.output_parsed, Town)
    with sdk.responses.stream(**asked, text_format=Town) as stream:
        assert stream.get_final_response().output_parsed == parsed.output_parsed


def test_how_likely_tokens_were(sdk: OpenAI) -> None:
    """As many as the answer has, with the likeliest beside each."""
    made = sdk.responses.create(**STORY, include=["message.output_text.logprobs"], top_logprobs=2)
    assert made.output[0].type == "message"
    part = made.output[0].content[0]
    assert part.type == "output_text"
    assert part.logprobs is not None
    assert "".join(each.token for each in part.logprobs).strip() == part.text.strip()
    assert {len(each.top_logprobs) for each in part.logprobs} == {2}


def test_what_is_included_is_told_beside_and_changes_no_number(sdk: OpenAI) -> None:
    """Said when a response is asked for, or when it is looked at: then only to whoever looks so."""
    include: Any = {"include": ["message.output_text.logprobs"]}
    plainly = list(sdk.responses.create(**STORY, stream=True, top_logprobs=1))
    made = plainly[-1].response.id  # type: ignore[union-attr]
    told = list(sdk.responses.retrieve(made, stream=True, **include))
    assert numbers(told) == numbers(plainly)
    deltas = [[e.logprobs for e in events if isinstance(e, ResponseTextDeltaEvent)] for events in (plainly, told)]
    assert not any(deltas[0])
    assert all(deltas[1])
    parts: Any = [sdk.responses.retrieve(made, **more).output[0] for more in ({}, include)]
    assert parts[0].content[0].logprobs == []
    assert [one.token for one in parts[1].content[0].logprobs] == [one.token for each in deltas[1] for one in each]
    asked_for = sdk.responses.create(**STORY, **include)
    assert sdk.responses.retrieve(asked_for.id) == asked_for
