"""Ending from outside: what waits for a model that nobody serves, and what runs at this very moment."""

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from db import jobs as jobs_table
from db import workers
from db.session import Sessions
from tasks.jobs import attempts, endings, jobs
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.jobs.timing import Timing
from tasks.keys import Caller
from tasks.limits.spent import Spent
from tasks.streams import stream
from tasks.streams.stream import Writer
from tasks.streams.transcript import Entry, Transcript
from tests import hooks, tables
from tests.support import entries

HOUR = dt.timedelta(hours=1)
SAID = entries.spoken("hi")
MORE = Entry(3, entries.said("!"), (3,))


@dataclass(slots=True)
class Watched:
    """Sessions that know whether a transaction is open, and let something happen before the n-th begins."""

    sessions: Sessions
    before: dict[int, Callable[[], object]] = field(default_factory=dict)
    begun: int = 0
    open: bool = False

    @contextmanager
    def begin(self) -> Iterator[Session]:
        self.begun += 1
        self.before.get(self.begun, lambda: None)()
        with self.sessions.begin() as session:
            self.open = True
            yield session
        self.open = False


def saying(sessions: Sessions, caller: Caller, client: redis.Redis) -> tuple[uuid.UUID, Writer]:
    """A job that runs and has said something, and its attempt's pen."""
    job_id = hooks.begin(sessions, caller)
    writer = Writer(client, job_id, 1, 60)
    writer.open(SAID)
    return job_id, writer


def end_unserved(sessions: Sessions, client: redis.Redis, limit: int = 100) -> list[uuid.UUID]:
    closings = endings.end_unserved(sessions, client, "alpha", limit, 60)
    return [closing.view.id for closing in closings] if endings.announce(client, closings, 60) else []


def handed_back(sessions: Sessions, caller: Caller, client: redis.Redis) -> uuid.UUID:
    """A job that a worker had begun when it was stopped."""
    job_id = hooks.begin(sessions, caller)
    Writer(client, job_id, 1, 60).open(SAID)
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
    assert set(end_unserved(sessions, client)) == {*waiting, dispatched}
    for job_id in (*waiting, dispatched):
        assert tables.column(sessions, job_id, "status") == "failed"
        assert tables.column(sessions, job_id, "error_code") == "model_removed"
        assert tables.usage_rows(sessions, job_id) == [(0, 0)]
        assert entries.told(stream.read(client, job_id)) == ["failed"]
    assert {job_id: tables.column(sessions, job_id, "status") for job_id in others} == others
    assert end_unserved(sessions, client) == []


def test_job_that_had_begun_is_charged_for_what_was_said_and_its_end_is_told(
    sessions: Sessions, caller: Caller, client: redis.Redis
) -> None:
    """Its stream goes on to the end under the next attempt number, its words are kept, its webhook is told."""
    hooks.endpoint(sessions, caller)
    job_id = handed_back(sessions, caller, client)
    assert end_unserved(sessions, client) == [job_id]
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
        assert end_unserved(sessions, nowhere, limit=2) == []
    assert {tables.column(sessions, job_id, "status") for job_id in job_ids} == {Status.FAILED}


def test_redis_is_not_asked_while_a_transaction_is_open(
    sessions: Sessions, caller: Caller, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However slow it is, it keeps no row of a job locked."""
    job_id, _ = saying(sessions, caller, client)
    watched, asked = Watched(sessions), list[bool]()
    send = client.execute_command

    def execute(*given: Any, **options: Any) -> Any:
        asked.append(watched.open)
        return send(*given, **options)

    monkeypatch.setattr(client, "execute_command", execute)
    endings.cancel(watched, client, caller, job_id, 60)
    with sessions.begin() as session:
        tables.put(session, hooks.begin(sessions, caller), Status.RUNNING, deadline_s=0)
    assert len(endings.stop_overdue(watched, client, 10, 60)) == 1
    assert set(asked) == {False}


def test_job_that_ends_by_itself_while_it_is_being_cancelled_keeps_its_own_end(
    sessions: Sessions, caller: Caller, client: redis.Redis
) -> None:
    """After its stream was taken over and before its row was: all its words stand, and nothing is counted twice."""
    job_id, writer = saying(sessions, caller, client)

    def finish() -> None:
        assert writer.append([MORE]) is stream.AppendResult.FENCED
        outcome = Outcome(Status.SUCCEEDED, Spent(4, 2), {"text": "hi!"})
        with sessions.begin() as session:
            tables.finish(session, job_id, 1, Transcript([*SAID, MORE]), outcome)

    shown, closings = endings.cancel(Watched(sessions, {2: finish}), client, caller, job_id, 60)
    assert (shown.status, shown.result, closings) == ("succeeded", {"text": "hi!"}, [])
    assert tables.usage_rows(sessions, job_id) == [(4, 2)]


def test_attempt_that_begins_while_its_job_is_being_cancelled_is_ended_with_its_words(
    sessions: Sessions, caller: Caller, client: redis.Redis
) -> None:
    """It isn't shut out by the first look, whose number it has, and what it says is kept by the second."""
    job_id, _ = saying(sessions, caller, client)
    later = Writer(client, job_id, 2, 60)

    def begin_again() -> None:
        with sessions.begin() as session:
            attempts.release(session, job_id, 1, Transcript(SAID))
        tables.dispatch(sessions, job_id)
        assert tables.claim(sessions, job_id)
        assert len(stream.take_over(later, Transcript(SAID)).entries) == 2
        assert later.append([MORE]) is stream.AppendResult.OK

    shown, closings = endings.cancel(Watched(sessions, {2: begin_again}), client, caller, job_id, 60)
    assert (shown.status, shown.attempt) == ("cancelled", 3)
    assert endings.announce(client, closings, 60)
    assert tables.usage_rows(sessions, job_id) == [(4, 2)]
    assert [event.id for event in stream.read(client, job_id)] == ["1-1", "1-2", "2-3", "3-4"]
    assert later.append([Entry(4, entries.said("?"), (4,))]) is stream.AppendResult.FENCED


def test_job_ended_without_redis_keeps_the_words_of_its_checkpoint(sessions: Sessions, caller: Caller) -> None:
    """Of all its pieces, and they are charged; when it has ended they lie in its output, whole."""
    job_id, words = hooks.begin(sessions, caller), entries.spoken("one ", "two ", "three")
    for piece in (words[:2], words[2:3], words[3:]):
        with sessions.begin() as session:
            attempts.checkpoint(session, job_id, 1, piece, (4, 4))
    nowhere = stream.connect("redis://127.0.0.1:1/0", timeout_s=0.2, max_connections=2)
    shown, _ = endings.cancel(sessions, nowhere, caller, job_id, 60)
    assert shown.status == "cancelled"
    with sessions() as session:
        assert jobs.stored_transcript(jobs.find(session, caller, job_id)[1]).entries == words
        assert session.scalar(text("SELECT count(*) FROM job_checkpoints")) == 0
    assert tables.usage_rows(sessions, job_id) == [(words[0].event.prompt_tokens, 3)]


def test_worker_that_beats_again_while_its_job_ends_as_poison_keeps_it(
    sessions: Sessions, caller: Caller, client: redis.Redis
) -> None:
    """It was only silent: its job ends for what still holds when it ends, not for what was found a moment before."""
    job_id, _ = saying(sessions, caller, client)
    orphaned = jobs_table.is_orphaned(tables.LEASE_S)
    tables.worker(sessions, "w1")
    poison = ("poison", "workers died")
    for beats, expected in ((True, "running"), (False, "failed")):
        with sessions.begin() as session:
            if not beats:
                workers.remove(session, "w1")
            job, _ = jobs.find(session, caller, job_id)
            doomed = endings.doom(session, job, Status.FAILED, poison, how="lost", still=orphaned)
        assert bool(endings.end_running(Watched(sessions), client, doomed, 60)) is not beats
        assert tables.column(sessions, job_id, "status") == expected


def test_parents_end_is_told_though_its_children_cannot_be_had(
    sessions: Sessions, caller: Caller, client: redis.Redis
) -> None:
    """The sweep ends them: a second cancel would find the parent ended, and tell nobody."""
    job_id, _ = saying(sessions, caller, client)

    def locked() -> None:
        raise OperationalError("SELECT", {}, Exception("lock timeout"))

    shown, closings = endings.cancel(Watched(sessions, {3: locked}), client, caller, job_id, 60)
    assert shown.status == "cancelled"
    assert [closing.view.id for closing in closings] == [job_id]


def test_job_whose_end_broke_off_half_way_goes_on(sessions: Sessions, caller: Caller, client: redis.Redis) -> None:
    """Who cancelled died after the stream was taken over: the worker gives the job back, and nothing said is lost."""
    job_id, writer = saying(sessions, caller, client)

    def die() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        endings.cancel(Watched(sessions, {2: die}), client, caller, job_id, 60)
    assert writer.append([MORE]) is stream.AppendResult.FENCED
    with sessions.begin() as session:
        attempts.release_unheld(session, job_id, 1)
    tables.dispatch(sessions, job_id)
    claim = tables.claim(sessions, job_id)
    assert claim is not None
    assert claim.attempt == 2
    assert stream.take_over(Writer(client, job_id, 2, 60), claim.checkpoint).text == "hi"
