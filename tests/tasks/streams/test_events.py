"""Events: what is written is read again, and so is what the version before wrote."""

import datetime as dt
import json
import math
from typing import Any

import pytest

from tasks import errors
from tasks.limits.spent import Spent
from tasks.streams import events
from tasks.streams.events import (
    Delta,
    Ended,
    Event,
    Logprob,
    Passages,
    Progress,
    Question,
    Restarted,
    Resumed,
    Started,
    ToolCall,
    ToolResult,
)

NOON = dt.datetime(2026, 11, 26, 12, 0, 0, 250_000, dt.UTC)
ALL: list[Event] = [
    Started(1, "alpha@host:12.a1b2c3", prompt_tokens=7),
    Resumed(2),
    Restarted(3),
    Progress(3, 9, Spent(prompt=3)),
    Delta("é日本🙂\x00", Spent(completion=2)),
    Delta(
        "b",
        Spent(completion=1),
        item=1,
        logprobs=(
            Logprob("b", -0.5, (Logprob("b", -0.5), Logprob("\ufffd", -1.25, raw=b"\xe6"))),
            Logprob("!", -2),
            Logprob.of(b"\x97\xa5", -3.5),
        ),
    ),
    ToolCall(1, "call_1", "weather", '{"city": "Bern"}', Spent(completion=9)),
    ToolResult("call_1", "weather", '{"sky": "clear"}'),
    ToolResult("call_1", "weather", "error: it didn't answer", ok=False),
    Question("Where is the red lamp?"),
    Passages([{"text": "a lamp", "metadata": {}}]),
    Ended("succeeded", {"text": "ab"}, Spent(7, 3, 4, 1), None, (7, 7), NOON, NOON),
    Ended("failed", None, error=("poison", "workers died")),
    Ended("cancelled", finished_at=NOON),
]


@pytest.mark.parametrize("event", ALL, ids=lambda event: event.type)
def test_event_comes_back_from_json_as_it_was(event: Event) -> None:
    assert events.decode(json.loads(json.dumps(events.encode(event)))) == event


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_probability_that_json_has_not_is_refused(number: float) -> None:
    """It would be a null to who reads the stream, and PostgreSQL would refuse it at the job's end."""
    with pytest.raises(errors.EngineError, match="finite"):
        Logprob("b", number)
    with pytest.raises(errors.EngineError, match="finite"):
        Logprob("b", -0.5, (Logprob("b", -0.5), Logprob("c", number)))


def test_every_event_is_tested_here() -> None:
    assert {type(event) for event in ALL} == set(Event.__args__)


def test_delta_takes_little_room() -> None:
    """It is written for every few tokens of every answer."""
    assert events.encode(Delta("a", Spent(completion=1))) == {"type": "delta", "text": "a", "spent": [0, 1, 0, 0]}


JOB: dict[str, Any] = {
    "id": "job_019ac0de",
    "object": "job",
    "status": "succeeded",
    "started_at": "2026-11-26T12:00:00.250000Z",
    "finished_at": "2026-11-26T12:00:00.250000Z",
    "attempt": 2,
    "progress": {"done": 7, "total": 7},
    "result": {"text": "ab", "finish_reason": "stop"},
    "error": None,
    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "embedding_tokens": 4},
    "links": {"self": "/v1/jobs/job_019ac0de"},
}
UNSTARTED = {**JOB, "started_at": None, "progress": None, "result": None}


@pytest.mark.parametrize(
    ("told", "event"),
    [
        (["started", {"attempt": 1, "worker": "w"}, 7, []], Started(1, "w", prompt_tokens=7)),
        (["resumed", {"attempt": 2}, 0, []], Resumed(2)),
        (["restarted", {"attempt": 2}, 0, []], Restarted(2)),
        (["progress", {"done": 3, "total": 9}, 3, []], Progress(3, 9)),
        (["delta", {"text": "a"}, 2, [5, 6]], Delta("a", Spent(completion=2))),
        (["passages", {"passages": [{"text": "a lamp"}]}, 0, []], Passages([{"text": "a lamp"}])),
        (
            ["succeeded", JOB, 0, []],
            Ended("succeeded", JOB["result"], Spent(7, 3, 4), None, (7, 7), NOON, NOON),
        ),
        (
            ["failed", {**UNSTARTED, "error": {"code": "poison", "message": "m"}, "usage": None}, 0, []],
            Ended("failed", error=("poison", "m"), finished_at=NOON),
        ),
        (["cancelled", UNSTARTED, 0, []], Ended("cancelled", None, Spent(7, 3, 4), finished_at=NOON)),
        (["expired", UNSTARTED, 0, []], Ended("expired", None, Spent(7, 3, 4), finished_at=NOON)),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_the_version_before_wrote_is_read(told: list[Any], event: Event) -> None:
    """Type, data, tokens and token ids, as they lie in Redis for as long as a stream lives."""
    assert events.decode(told) == event


@pytest.mark.parametrize(
    "told",
    [None, 7, "delta", {}, [], ["delta"], ["delta", {}, 1], {"type": "delta"}, {"type": "unheard-of"}, ["new", {}, 0]],
)
def test_anything_else_is_refused(told: Any) -> None:
    with pytest.raises(ValueError, match="not an event"):
        events.decode(told)
