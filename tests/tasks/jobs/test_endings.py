"""Ending what waits for a model that nobody serves any more."""

import datetime as dt
import uuid

import redis

from db.session import Sessions
from tasks.jobs import attempts, endings, jobs
from tasks.jobs.lifecycle import Status
from tasks.jobs.timing import Timing
from tasks.keys import Caller
from tasks.streams import stream
from tasks.streams.stream import Writer
from tests import hooks, tables
from tests.support import entries

HOUR = dt.timedelta(hours=1)


def end_waiting(sessions: Sessions, client: redis.Redis, limit: int = 100) -> list[uuid.UUID]:
    with sessions.begin() as session:
        closings = endings.end_waiting(session, client, "alpha", limit, 60)
    return [closing.view.id for closing in closings if endings.announce(client, closing, 60)]


def handed_back(sessions: Sessions, caller: Caller, client: redis.Redis) -> uuid.UUID:
    """A job that a worker had begun when it was stopped."""
    job_id = hooks.begin(sessions, caller)
    Writer(client, job_id, 1, 60).open(entries.spoken("hi"))
    with sessions.begin() as session:
        output = jobs.stored_transcript(None)
        assert attempts.release(session, job_id, 1, output)
    return job_id


def test_jobs_that_wait_for_the_model_end_and_no_others(
    sessions: Sessions, caller: Caller, client: redis.Redis
) -> None:
    """Whether for their time, their turn or a worker; one that runs and those of other models are left alone."""
    later = dt.datetime.now(dt.UTC) + HOUR
    waiting = {tables.submit(sessions, caller).id, tables.submit(sessions, caller, timing=Timing(run_at=later)).id}
    dispatched = tables.submit(sessions, tables.tenant(sessions, "theirs")).id
    tables.dispatch(sessions, dispatched)
    others = {hooks.begin(sessions, caller): "running", tables.submit(sessions, caller, model="beta").id: "queued"}
    assert set(end_waiting(sessions, client)) == {*waiting, dispatched}
    for job_id in (*waiting, dispatched):
        assert tables.column(sessions, job_id, "status") == "failed"
        assert tables.column(sessions, job_id, "error_code") == "model_removed"
        assert tables.usage_rows(sessions, job_id) == [(0, 0)]
        assert entries.told(stream.read(client, job_id)) == ["failed"]
    assert {job_id: tables.column(sessions, job_id, "status") for job_id in others} == others
    assert end_waiting(sessions, client) == []


def test_job_that_had_begun_is_charged_for_what_was_said_and_its_end_is_told(
    sessions: Sessions, caller: Caller, client: redis.Redis
) -> None:
    """Its stream goes on to the end under the next attempt number, its words are kept, its webhook is told."""
    hooks.endpoint(sessions, caller)
    job_id = handed_back(sessions, caller, client)
    assert end_waiting(sessions, client) == [job_id]
    assert tables.usage_rows(sessions, job_id) == [(4, 1)]
    streamed = stream.read(client, job_id)
    assert entries.told(streamed) == ["started", "delta", "failed"]
    assert [each.id for each in streamed] == ["1-1", "1-2", "2-3"]
    with sessions() as session:
        assert [attempt["how"] for attempt in attempts.shown(session, job_id)] == ["handed_back"]
        error = jobs.get(session, caller, job_id).error
    assert error == {
        "code": "model_removed",
        "message": "the model alpha isn't served any more, and what waited for it was ended",
    }
    assert len(hooks.listed(sessions, caller)) == 1


def test_at_most_so_many_end_at_once_and_without_redis_too(sessions: Sessions, caller: Caller) -> None:
    """PostgreSQL has the end; who listens is told from there."""
    nowhere = stream.connect("redis://127.0.0.1:1/0", timeout_s=0.2, max_connections=2)
    job_ids = [tables.submit(sessions, caller).id for _ in range(3)]
    for _ in range(2):
        assert end_waiting(sessions, nowhere, limit=2) == []
    assert {tables.column(sessions, job_id, "status") for job_id in job_ids} == {Status.FAILED}
