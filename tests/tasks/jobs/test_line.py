"""The statements of the straight line leave the rows that the ordinary ways leave, which other moves of jobs take."""

import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from db import attempts as attempt_rows
from db import jobs as job_rows
from db import ledger
from db.jobs import Job
from db.session import Sessions
from tasks import errors
from tasks.jobs import attempts, fence, jobs, lifecycle, stages
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Onward, Outcome
from tasks.keys import Caller
from tasks.limits.spent import Spent
from tasks.queues import window
from tasks.streams.events import Delta
from tasks.streams.transcript import Transcript
from tests import tables

TABLES = {"jobs": "id", "job_attempts": "job_id", "job_outputs": "job_id", "ledger": "job_id"}
# Each job's own, or the moment at which it was written.
OWN = {"id", "job_id", "seed", "ran_s", "waited_s", "first_token_s"}


def rows(sessions: Sessions, job_id: uuid.UUID) -> dict[str, list[dict[str, Any]]]:
    """What is written of the job, its moments as whether there is one."""

    def plain(row: Mapping[str, Any]) -> dict[str, Any]:
        return {k: v is not None if k.endswith("_at") else v for k, v in row.items() if k not in OWN}

    with sessions() as session:
        read = {
            table: session.execute(text(f"SELECT * FROM {table} WHERE {key} = :id"), {"id": job_id}).mappings()
            for table, key in TABLES.items()
        }
        return {table: [plain(row) for row in found] for table, found in read.items()}


def said() -> Transcript:
    transcript = Transcript()
    transcript.add(Delta("hi", Spent(completion=2)), (4, 5))
    return transcript


def end_in_the_ordinary_way(session: Session, job_id: uuid.UUID, outcome: Outcome) -> None:
    """As `lifecycle.move` and what other ends write beside it would."""
    job = session.get_one(Job, job_id)
    run = attempt_rows.of_row(job)
    assert run is not None
    code, message = outcome.error or (None, None)
    attempt_rows.end(session, [run], outcome.status, code)
    assert lifecycle.move(
        session,
        outcome.status,
        *fence.fenced(job_id, 1),
        finished_at=func.clock_timestamp(),
        progress_done=outcome.spent.prompt,
        progress_total=outcome.spent.prompt,
        error_code=code,
        error_message=message,
        first_token_at=func.clock_timestamp(),
        **fence.added(outcome.spent),
    )
    entries, token_ids = said().stored()
    job_rows.save_output(session, job_id, entries=entries, token_ids=token_ids, result=outcome.result)
    ledger.enter(session, [job_id])


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(Status.SUCCEEDED, Spent(3, 2, cached=1), {"text": 'a "quoted"\\ text\0 of 100 %'}),
        Outcome(Status.FAILED, Spent(3, 2), error=("engine_refused", "no")),
        Outcome(Status.CANCELLED),
    ],
    ids=lambda outcome: outcome.status,
)
@pytest.mark.parametrize("told", [False, True], ids=["by itself", "within a transaction"])
def test_finish_leaves_what_a_move_would(sessions: Sessions, caller: Caller, outcome: Outcome, told: bool) -> None:
    straight, ordinary = (tables.running(sessions, caller).job_id for _ in range(2))
    with sessions.begin() as session:
        tables.finish(session, straight, 1, said(), outcome, first_token_s=0.5, told=told)
    with sessions.begin() as session:
        end_in_the_ordinary_way(session, ordinary, outcome)
    left = rows(sessions, straight)
    assert left == rows(sessions, ordinary)
    assert [len(every) for every in left.values()] == [1, 1, 1, 1]


def test_claim_leaves_what_a_move_would(sessions: Sessions, caller: Caller) -> None:
    straight, ordinary = (tables.submit(sessions, caller).id for _ in range(2))
    tables.dispatch(sessions, straight, ordinary)
    assert tables.claim(sessions, straight)
    now = func.clock_timestamp()
    values = {"attempt": 1, "worker_id": "w1", "started_at": now, "attempt_started_at": now}
    with sessions.begin() as session:
        assert lifecycle.move(session, Status.RUNNING, Job.id == ordinary, **values)
    assert rows(sessions, straight) == rows(sessions, ordinary)


def test_submission_leaves_what_a_move_into_the_window_would(sessions: Sessions, caller: Caller) -> None:
    tables.worker(sessions)
    asked = tables.submission(metadata={"a": "b"}, webhook={"url": "https://x.example", "events": ["job.failed"]})
    ordinary = tables.submit(sessions, caller, metadata=asked.metadata, webhook=asked.webhook).id
    tables.dispatch(sessions, ordinary)
    with sessions.begin() as session:
        job, admitted = jobs.insert(session, caller, tables.plan(session, caller, asked), window.room(tables.LEASE_S))
    assert admitted
    assert rows(sessions, job.id) == rows(sessions, ordinary)


@pytest.mark.parametrize("room", [None, window.room(tables.LEASE_S)], ids=["without a window", "with one"])
def test_job_is_part_of_a_transaction_that_has_begun(sessions: Sessions, caller: Caller, room: str | None) -> None:
    """What else belongs to it is written with it, or neither is."""

    def interrupted() -> None:
        with sessions.begin() as session:
            session.execute(text("SELECT 1"))
            jobs.insert(session, caller, tables.plan(session, caller, tables.submission()), room)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    with sessions() as session:
        assert session.scalar(text("SELECT count(*) FROM jobs")) == 0


@pytest.mark.parametrize("told", [False, True])
def test_result_that_is_not_json_ends_nothing(sessions: Sessions, caller: Caller, told: bool) -> None:
    """orjson would make a NaN null, and a success of it."""
    claim = tables.running(sessions, caller)
    outcome = Outcome(Status.SUCCEEDED, Spent(1), {"scores": [1.0, None, float("nan")]})
    with pytest.raises(ValueError, match="nan isn't JSON"), sessions.begin() as session:
        tables.finish(session, claim.job_id, 1, said(), outcome, told=told)
    assert tables.column(sessions, claim.job_id, "status") == "running"


def test_vectors_are_kept_with_the_end(sessions: Sessions, caller: Caller) -> None:
    claim = tables.running(sessions, caller)
    made = np.array([[1.0, -2.5], [0.0, 3.25]], dtype=np.float32)
    with sessions.begin() as session:
        tables.finish(session, claim.job_id, 1, said(), Outcome(Status.SUCCEEDED, vectors=made), told=False)
    with sessions() as session:
        kept = session.execute(text("SELECT dimensions, data FROM job_vectors")).one()
    assert kept.dimensions == 2
    assert np.frombuffer(kept.data, dtype="<f4").tolist() == [1.0, -2.5, 0.0, 3.25]


@pytest.mark.parametrize("told", [False, True])
def test_attempt_that_is_over_finishes_nothing(sessions: Sessions, caller: Caller, told: bool) -> None:
    """A newer one runs: nothing of the old one is written."""
    claim = tables.running(sessions, caller)
    with sessions.begin() as session:
        tables.lose(session, claim.job_id, crashes=1)
    assert tables.claim(sessions, claim.job_id, worker_id="w2")
    before = rows(sessions, claim.job_id)
    with pytest.raises(errors.Fenced), sessions.begin() as session:
        tables.finish(session, claim.job_id, 1, said(), Outcome(Status.SUCCEEDED), told=told)
    assert rows(sessions, claim.job_id) == before


@pytest.mark.parametrize("told", [False, True])
def test_attempt_that_gave_its_job_away_finishes_nothing(sessions: Sessions, caller: Caller, told: bool) -> None:
    """Its next stage may be in the window already, under the number of the attempt that passed it on."""
    claim = tables.running(sessions, caller)
    with sessions.begin() as session:
        assert attempts.advance(session, claim.job_id, 1, said(), Onward(stages.GENERATE, "beta"))
    tables.dispatch(sessions, claim.job_id)
    before = rows(sessions, claim.job_id)
    with pytest.raises(errors.Fenced), sessions.begin() as session:
        tables.finish(session, claim.job_id, 1, said(), Outcome(Status.SUCCEEDED), told=told)
    assert rows(sessions, claim.job_id) == before


@pytest.mark.parametrize("prompt", [2**31, 2**40, 2**70])
@pytest.mark.parametrize("told", [False, True])
def test_number_too_large_for_its_column_is_refused(
    sessions: Sessions, caller: Caller, prompt: int, told: bool
) -> None:
    """psycopg's four bytes would hold what is left of it: nothing, of 2**40."""
    claim = tables.running(sessions, caller)
    with pytest.raises(DBAPIError, match=r"out of range|cannot cast"), sessions.begin() as session:
        tables.finish(session, claim.job_id, 1, said(), Outcome(Status.SUCCEEDED, Spent(prompt)), told=told)
    assert tables.column(sessions, claim.job_id, "status") == "running"


@pytest.mark.parametrize("told", [False, True])
def test_first_token_stays_the_first(sessions: Sessions, caller: Caller, told: bool) -> None:
    """An end tells when its attempt's first token came, which another may have come before."""
    claim = tables.running(sessions, caller)
    with sessions.begin() as session:
        attempts.checkpoint(session, claim.job_id, 1, said().entries, (1, 1), first_token_s=0.5)
    first = tables.column(sessions, claim.job_id, "first_token_at")
    assert first is not None
    with sessions.begin() as session:
        tables.finish(session, claim.job_id, 1, said(), Outcome(Status.SUCCEEDED), first_token_s=7, told=told)
    assert tables.column(sessions, claim.job_id, "first_token_at") == first
