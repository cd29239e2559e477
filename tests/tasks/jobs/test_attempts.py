"""What becomes of attempts, and who gets another."""

import datetime as dt
import uuid
from typing import Any

import pytest
import redis
from sqlalchemy import event, text
from sqlalchemy.orm import ORMExecuteState

from db.session import Sessions
from tasks import errors, ids
from tasks.doors import retrying
from tasks.doors.submitting import Desk
from tasks.jobs import attempts, endings, fence, jobs, stages
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Onward, Outcome
from tasks.keys import Caller
from tasks.limits.spent import Spent
from tasks.streams.transcript import Transcript
from tests import tables
from tests.support.post import Post
from tests.tasks.sweep.sweeping import made, sweep


def claimed(sessions: Sessions, job_id: uuid.UUID, worker_id: str = "w1") -> int:
    tables.dispatch(sessions, job_id)
    claim = tables.claim(sessions, job_id, worker_id=worker_id)
    assert claim is not None
    return claim.attempt


def listed(sessions: Sessions, job_id: uuid.UUID) -> list[tuple[Any, ...]]:
    with sessions() as session:
        shown = attempts.shown(session, job_id)
    assert all((attempt["ended_at"] is None) == (attempt["how"] is None) for attempt in shown)
    return [(attempt["worker"], attempt["how"], attempt["error_code"]) for attempt in shown]


def put_off(sessions: Sessions, job_id: uuid.UUID, attempt: int, code: str = "engine_error") -> bool:
    with sessions.begin() as session:
        return attempts.retry_later(session, job_id, attempt, Transcript(), code)


def failed(sessions: Sessions, caller: Caller, code: str) -> uuid.UUID:
    """A job that ended so."""
    job_id = tables.submit(sessions, caller, metadata={"k": "v"}).id
    outcome = Outcome(Status.FAILED, error=(code, "it did"))
    with sessions.begin() as session:
        tables.finish(session, job_id, claimed(sessions, job_id), Transcript(), outcome)
    return job_id


def test_every_end_of_an_attempt_is_told(sessions: Sessions, caller: Caller, client: redis.Redis) -> None:
    """Handed back, passed on, cancelled: each run is listed with its worker and how it ended."""
    job_id = tables.submit(sessions, caller).id
    with sessions.begin() as session:
        assert attempts.release(session, job_id, claimed(sessions, job_id), Transcript())
    with sessions.begin() as session:
        attempts.release_unheld(session, job_id, claimed(sessions, job_id, "w2"))
    with sessions.begin() as session:
        onward = Onward(stages.GENERATE, "alpha")
        assert attempts.advance(session, job_id, claimed(sessions, job_id, "w3"), Transcript(), onward)
    claimed(sessions, job_id, "w4")
    endings.cancel(sessions, client, caller, job_id, 60)
    assert listed(sessions, job_id) == [
        ("w1", "handed_back", None),
        ("w2", "handed_back", None),
        ("w3", "passed_on", None),
        ("w4", "cancelled", None),
    ]


def test_poison_is_listed_death_by_death(sessions: Sessions, caller: Caller, client: redis.Redis) -> None:
    """Three workers die of a job; each of its attempts is there to be looked at, and no fourth is made."""
    tables.worker(sessions, "alive")
    sweeper = made(sessions, client, Post(client))
    job_id, innocent = (tables.submit(sessions, caller).id for _ in range(2))
    claimed(sessions, innocent, "alive")
    for worker_id in ("w1", "w2", "w3"):
        claimed(sessions, job_id, worker_id)
        sweep(sweeper)
    assert tables.column(sessions, job_id, "error_code") == "poison"
    assert listed(sessions, job_id) == [(worker_id, "lost", None) for worker_id in ("w1", "w2", "w3")]
    assert tables.claim(sessions, job_id) is None
    assert tables.column(sessions, innocent, "status") == "running"


def test_lost_worker_that_is_back_in_time_has_the_last_word(
    sessions: Sessions, caller: Caller, client: redis.Redis
) -> None:
    """Its attempt was the newest all along."""
    job_id = tables.submit(sessions, caller).id
    attempt = claimed(sessions, job_id)
    sweep(made(sessions, client, Post(client)))
    assert listed(sessions, job_id) == [("w1", "lost", None)]
    with sessions.begin() as session:
        tables.finish(session, job_id, attempt, Transcript(), Outcome(Status.SUCCEEDED, Spent(1, 1), {"text": ""}))
    assert listed(sessions, job_id) == [("w1", "succeeded", None)]


def test_system_errors_are_waited_out_longer_each_time_and_not_for_ever(sessions: Sessions, caller: Caller) -> None:
    """Two to four seconds, four to eight, and the third failure is the last."""
    job_id = tables.submit(sessions, caller).id
    for low, high in ((2, 4), (4, 8)):
        assert put_off(sessions, job_id, claimed(sessions, job_id))
        with sessions() as session:
            statement = text("SELECT extract(epoch FROM due_at - now()) FROM jobs WHERE id = :id")
            assert low - 1 < float(session.scalar(statement, {"id": job_id}) or 0) <= high
    attempt = claimed(sessions, job_id)
    assert not put_off(sessions, job_id, attempt)
    with sessions.begin() as session:
        error = ("engine_error", "the engine host answered 500")
        tables.finish(session, job_id, attempt, Transcript(), Outcome(Status.FAILED, error=error))
    assert listed(sessions, job_id) == [("w1", "failed", "engine_error")] * 3


def test_attempt_that_is_over_puts_nothing_off(sessions: Sessions, caller: Caller, client: redis.Redis) -> None:
    """The fence holds for failures too."""
    job_id = tables.submit(sessions, caller).id
    attempt = claimed(sessions, job_id)
    endings.cancel(sessions, client, caller, job_id, 60)
    with pytest.raises(errors.Fenced):
        put_off(sessions, job_id, attempt)


def test_requeue_grants_one_more_attempt_under_a_new_id(
    sessions: Sessions, caller: Caller, client: redis.Redis
) -> None:
    """What ended as poison stays so; the new job names it, and its first loss or failure is its last."""
    lost, sick = failed(sessions, caller, "poison"), failed(sessions, caller, "engine_error")
    again = [retrying.requeue(Desk(sessions), tables.MODELS, job_id) for job_id in (lost, sick)]
    assert [job.retry_of for job in again] == [lost, sick]
    assert all((job.tenant_id, job.metadata) == (caller.tenant_id, {"k": "v"}) for job in again)
    claimed(sessions, again[0].id)
    sweep(made(sessions, client, Post(client)))
    assert tables.column(sessions, again[0].id, "error_code") == "poison"
    assert not put_off(sessions, again[1].id, claimed(sessions, again[1].id))
    assert tables.column(sessions, lost, "error_code") == "poison"


@pytest.mark.parametrize("code", ["context_length_exceeded", "engine_refused", "deadline_exceeded"])
def test_requeue_of_what_is_the_jobs_own_fault_is_refused(sessions: Sessions, caller: Caller, code: str) -> None:
    """Another attempt wouldn't help, or isn't the operator's to give."""
    job_id = failed(sessions, caller, code)
    with pytest.raises(errors.Conflict):
        retrying.requeue(Desk(sessions), tables.MODELS, job_id)
    with pytest.raises(errors.NotFound):
        retrying.requeue(Desk(sessions), tables.MODELS, ids.new())


def test_errors_are_the_systems_or_the_jobs() -> None:
    """In one place, and a job's own error is never tried again."""

    def codes(kind: type[errors.ForebayError]) -> set[str]:
        return {kind.code}.union(*(codes(below) for below in kind.__subclasses__()))

    assert codes(errors.EngineError) | {"internal"} == errors.SYSTEM
    assert not codes(errors.JobError) & (errors.SYSTEM - {"internal"})


def test_attempt_that_was_put_off_cannot_give_its_job_away(sessions: Sessions, caller: Caller) -> None:
    """The answer to its putting off may have been lost: the job waits for its time all the same."""
    job_id = tables.submit(sessions, caller).id
    attempt = claimed(sessions, job_id)
    assert put_off(sessions, job_id, attempt)
    with sessions.begin() as session:
        assert not attempts.release(session, job_id, attempt, Transcript())
        assert not attempts.advance(session, job_id, attempt, Transcript(), Onward(stages.GENERATE, "alpha"))
        attempts.release_unheld(session, job_id, attempt)
    assert tables.column(sessions, job_id, "status") == "scheduled"
    assert listed(sessions, job_id) == [("w1", "failed", "engine_error")]


def test_job_pays_what_it_was_charged_on_the_way_and_what_its_end_adds(sessions: Sessions, caller: Caller) -> None:
    """Its row keeps one running sum, through stages and attempts; only its end adds what was streamed."""
    job_id = tables.submit(sessions, caller).id
    attempt = claimed(sessions, job_id)
    with sessions.begin() as session:
        fence.charge(session, job_id, attempt, Spent(70))
        onward = Onward(stages.GENERATE, "alpha", spent=Spent(embedding=5))
        assert attempts.advance(session, job_id, attempt, Transcript(), onward)
    attempt = claimed(sessions, job_id)
    with sessions.begin() as session:
        tables.finish(
            session, job_id, attempt, Transcript(), Outcome(Status.FAILED, Spent(20), error=("internal", "it did"))
        )
    assert tables.usage_rows(sessions, job_id) == [(90, 0)]
    with sessions() as session:
        assert jobs.get(session, caller, job_id).spent == Spent(90, embedding=5)


def test_crashes_counted_for_a_worker_that_was_only_silent_are_taken_back(sessions: Sessions, caller: Caller) -> None:
    """Its jobs were taken over, but no process died: once it beats again that is no crash, however often it is said."""
    job_id, ended = (tables.submit(sessions, caller).id for _ in range(2))
    for lost in (job_id, ended):
        claimed(sessions, lost)
        with sessions.begin() as session:
            tables.lose(session, lost, crashes=2)
    with sessions.begin() as session:
        tables.put(session, ended, Status.FAILED, finished_at=dt.datetime.now(dt.UTC))
    for count in (2, 0):
        with sessions.begin() as session:
            assert attempts.forgive(session, "w1") == count
    assert listed(sessions, job_id) == [("w1", "taken", None)]
    assert tables.column(sessions, job_id, "crashes") == 1
    assert tables.column(sessions, ended, "crashes") == 2


def test_jobs_at_their_last_chance_are_tried_one_at_a_time(sessions: Sessions, caller: Caller) -> None:
    """A worker that runs one of them takes no other, so that the next crash tells which it was; others it takes."""
    first, second, fresh = (tables.submit(sessions, caller).id for _ in range(3))
    for job_id, crashes in ((first, 2), (second, 2), (fresh, 1)):
        tables.dispatch(sessions, job_id)
        with sessions.begin() as session:
            tables.put(session, job_id, Status.DISPATCHED, crashes=crashes)
    assert tables.claim(sessions, first, worker_id="w1")
    assert tables.claim(sessions, second, worker_id="w1") is None
    assert tables.claim(sessions, fresh, worker_id="w1")
    assert tables.claim(sessions, second, worker_id="w2")


def test_attempt_that_came_past_the_crash_has_all_its_chances_again(sessions: Sessions, caller: Caller) -> None:
    """It wasn't to blame for what others may have done."""
    job_id = tables.submit(sessions, caller).id
    tables.dispatch(sessions, job_id)
    with sessions.begin() as session:
        tables.put(session, job_id, Status.DISPATCHED, crashes=2)
    claim = tables.claim(sessions, job_id, worker_id="w1")
    assert claim is not None
    assert claim.crashes == 2
    for cleared, crashes in ((False, 2), (True, 0)):
        with sessions.begin() as session:
            attempts.checkpoint(session, job_id, claim.attempt, [], (1, 2), cleared=cleared)
        assert tables.column(sessions, job_id, "crashes") == crashes


def test_attempt_that_ends_while_it_is_looked_at_is_shown_once(sessions: Sessions, caller: Caller) -> None:
    """Its job's row still said that it ran, and then its own said how it had ended."""
    job_id = tables.running(sessions, caller).job_id

    def ends_first(state: ORMExecuteState) -> None:
        if "FROM job_attempts" in str(state.statement):
            with sessions.begin() as other:
                tables.finish(other, job_id, 1, Transcript(), Outcome(Status.SUCCEEDED))

    with sessions() as session:
        event.listen(session, "do_orm_execute", ends_first)
        assert [attempt["how"] for attempt in attempts.shown(session, job_id)] == ["succeeded"]
