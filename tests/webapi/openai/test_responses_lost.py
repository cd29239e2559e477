"""Responses whose words were lost with Redis and their worker together: whoever had read them is told, never misled."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from db.session import Sessions
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.limits.spent import Spent
from tasks.streams.events import Resumed
from tests.support.events import Event
from tests.webapi import byhand
from tests.webapi.byhand import Run
from tests.webapi.conftest import Api
from tests.webapi.opened import seen

DELTA = 5  # the number of the first piece of a text: five events go before it


@pytest.fixture
def begun(api: Api) -> dict[str, Any]:
    return dict(api.post("/v1/responses", json={"model": "alpha", "input": "one", "background": True}).json)


def job_id(response: dict[str, Any]) -> str:
    return f"job_{response['id'].removeprefix('resp_')}"


def lost(sessions: Sessions, client: redis.Redis, response: dict[str, Any]) -> Run:
    """The first attempt said "a", "b", of which PostgreSQL has "a"; then Redis and the worker went. The second's run,
    which found that out."""
    first = byhand.run(sessions, client, job_id(response))
    first.say("a")
    first.checkpoint()
    first.say("b")
    return first


def goes_on(sessions: Sessions, client: redis.Redis, response: dict[str, Any]) -> Run:
    client.flushall()
    second = byhand.run(sessions, client, job_id(response))
    second.event(Resumed(second.attempt, lost=True))
    second.say("c", "d")
    return second


def succeed(run: Run) -> None:
    said = {"message": {"role": "assistant", "content": run.so_far.text}, "finish_reason": "stop"}
    run.end(Outcome(Status.SUCCEEDED, Spent(2, 3), said))


def opened(api: Api, response: dict[str, Any], after: int | None = None) -> Iterator[Event]:
    query = "?stream=true" + ("" if after is None else f"&starting_after={after}")
    answer = api.get(f"/v1/responses/{response['id']}{query}", buffered=False)
    assert answer.status_code == 200, answer.text
    return seen(answer.response)


def text(events: list[Event]) -> str:
    return "".join(event.data["delta"] for event in events if event.type == "response.output_text.delta")


def read_until(events: Iterator[Event], number: int) -> list[Event]:
    """Up to the event with that number."""
    had = []
    for event in events:
        had.append(event)
        if event.data["sequence_number"] == number:
            return had
    raise AssertionError(f"it ended before {number}")


def test_an_open_reader_is_told(api: Api, sessions: Sessions, client: redis.Redis, begun: dict[str, Any]) -> None:
    """By an error, whose number is the next; nothing of the other words was told before."""
    lost(sessions, client, begun)
    events = opened(api, begun)
    had = read_until(events, DELTA + 1)
    succeed(goes_on(sessions, client, begun))
    [error] = list(events)
    assert (error.type, error.data["code"], error.data["sequence_number"]) == ("error", "stream_lost", DELTA + 2)
    assert text(had) == "ab"
    assert text(list(opened(api, begun))) == "acd"


def test_who_comes_again_is_told_during_and_after_the_run(
    api: Api, sessions: Sessions, client: redis.Redis, begun: dict[str, Any]
) -> None:
    """Though a number says nothing of an attempt; who had no more than was kept goes on as if nothing had happened."""
    lost(sessions, client, begun)
    second = goes_on(sessions, client, begun)
    events = opened(api, begun, DELTA + 1)
    assert next(events).type == "error"
    succeed(second)
    for kept in (True, False):
        assert [event.type for event in opened(api, begun, DELTA + 1)] == ["error"]
        assert text(list(opened(api, begun, DELTA))) == "cd"
        if kept:
            client.flushall()


def test_who_reads_a_cancelled_one_is_told(
    api: Api, sessions: Sessions, client: redis.Redis, begun: dict[str, Any]
) -> None:
    """Its end can't have the words either."""
    lost(sessions, client, begun)
    client.flushall()
    cancelled = api.post(f"/v1/responses/{begun['id']}/cancel").json
    assert cancelled["output"][0]["content"][0]["text"] == "a"
    assert [event.type for event in opened(api, begun, DELTA + 1)] == ["error"]
    rest = list(opened(api, begun, DELTA))
    assert [event.data["sequence_number"] for event in rest] == list(range(DELTA + 1, DELTA + 5))
    assert rest[-1].type == "response.cancelled"


def test_a_lost_redis_alone_is_nobodys_loss(
    api: Api, sessions: Sessions, client: redis.Redis, begun: dict[str, Any]
) -> None:
    """The worker has all its words, and tells them again."""
    run = byhand.run(sessions, client, job_id(begun))
    run.say("a", "b")
    events = opened(api, begun)
    had = read_until(events, DELTA + 1)
    client.flushall()
    run.say("c")
    succeed(run)
    had += list(events)
    assert text(had) == "abc"
    assert [event.data["sequence_number"] for event in had] == list(range(len(had)))
    assert [event.data for event in opened(api, begun, DELTA)] == [event.data for event in had[DELTA + 1 :]]


def test_a_number_that_was_never_told_is_an_error(
    api: Api, sessions: Sessions, client: redis.Redis, begun: dict[str, Any]
) -> None:
    """After the last there is nothing; beyond it, an error."""
    run = byhand.run(sessions, client, job_id(begun))
    run.say("a")
    succeed(run)
    last = list(opened(api, begun))[-1].data["sequence_number"]
    assert list(opened(api, begun, last)) == []
    assert [event.type for event in opened(api, begun, last + 1)] == ["error"]
