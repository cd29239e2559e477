"""The ledger: one row for each ended job, from the job's own row and its attempts'."""

import datetime as dt
import uuid
from typing import Any

import pytest
import redis
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from db import ledger
from db.session import Sessions
from tasks.jobs import attempts, endings
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.keys import Caller
from tasks.limits.spent import Spent
from tasks.streams.transcript import Transcript
from tests import tables


def row(sessions: Sessions, job_id: uuid.UUID) -> Any:
    with sessions() as session:
        return session.execute(text("SELECT * FROM ledger WHERE job_id = :id"), {"id": job_id}).one()


def test_row_tells_whose_what_when_and_how(sessions: Sessions, caller: Caller) -> None:
    """A job that was lost once and waited before: its times are its own, each attempt counts by the way it ended."""
    job_id = tables.submit(sessions, caller, lane="batch").id
    tables.dispatch(sessions, job_id)
    assert tables.claim(sessions, job_id, worker_id="w1")
    with sessions.begin() as session:
        tables.lose(session, job_id, crashes=1)
    assert tables.claim(sessions, job_id, worker_id="w2")
    with sessions.begin() as session:
        session.execute(text("UPDATE jobs SET created_at = started_at - interval '7 s' WHERE id = :id"), {"id": job_id})
        session.execute(text("UPDATE job_attempts SET started_at = ended_at - interval '3 s'"))
    outcome = Outcome(Status.SUCCEEDED, Spent(4, 2, cached=1), {"text": "hi"})
    with sessions.begin() as session:
        tables.finish(session, job_id, 2, Transcript(), outcome, first_token_s=0.5)
    found = row(sessions, job_id)
    assert (found.tenant_id, found.key_id) == (caller.tenant_id, caller.key_id)
    assert (found.kind, found.model, found.lane) == ("generate", "alpha", "batch")
    assert (found.status, found.error_code, found.price, found.parent_id) == ("succeeded", None, None, None)
    assert found.attempts == {"lost": 1, "succeeded": 1}
    assert found.waited_s == 7
    assert 7.5 <= found.first_token_s < 60
    assert 3 <= found.ran_s < 60
    spent = (found.prompt_tokens, found.completion_tokens, found.embedding_tokens, found.cached_tokens)
    assert spent == (4, 2, 0, 1)
    assert found.period == found.ended_at.astimezone(dt.UTC).date().replace(day=1)


def test_job_has_waited_since_its_time_came(sessions: Sessions, caller: Caller) -> None:
    """Not since it was asked for, when it was to start later."""
    job_id = tables.submit(sessions, caller).id
    tables.dispatch(sessions, job_id)
    assert tables.claim(sessions, job_id)
    with sessions.begin() as session:
        session.execute(text("UPDATE jobs SET created_at = started_at - interval '7 s',"
                             " run_at = started_at - interval '3 s' WHERE id = :id"), {"id": job_id})  # fmt: skip
    with sessions.begin() as session:
        tables.finish(session, job_id, 1, Transcript(), Outcome(Status.SUCCEEDED, Spent(1), {"text": ""}))
    assert row(sessions, job_id).waited_s == 3


def test_job_that_never_started_costs_nothing_and_waited_for_nothing(
    sessions: Sessions, caller: Caller, client: redis.Redis
) -> None:
    job_id = tables.submit(sessions, caller).id
    endings.cancel(sessions, client, caller, job_id, 60)
    found = row(sessions, job_id)
    assert (found.status, found.attempts, found.ran_s) == ("cancelled", {}, 0)
    assert found.waited_s is found.first_token_s is None


def test_first_token_is_the_first_attempts_that_has_one(sessions: Sessions, caller: Caller) -> None:
    """What a checkpoint has kept is not moved by a later attempt."""
    job_id = tables.submit(sessions, caller).id
    tables.dispatch(sessions, job_id)
    assert tables.claim(sessions, job_id)
    with sessions.begin() as session:
        attempts.checkpoint(session, job_id, 1, [], (1, 1), first_token_s=0.25)
    first, began_at = (tables.column(sessions, job_id, name) for name in ("first_token_at", "attempt_started_at"))
    tables.dispatch(sessions, job_id)
    assert tables.claim(sessions, job_id)
    with sessions.begin() as session:
        tables.finish(session, job_id, 2, Transcript(), Outcome(Status.SUCCEEDED), first_token_s=9)
    assert first == began_at + dt.timedelta(seconds=0.25)
    assert tables.column(sessions, job_id, "first_token_at") == first


def test_job_is_entered_once_and_its_row_outlives_it(sessions: Sessions, caller: Caller, client: redis.Redis) -> None:
    """A second entry is an error, never a sum; erasing the job erases nothing of what it cost."""
    job_id = tables.submit(sessions, caller).id
    endings.cancel(sessions, client, caller, job_id, 60)
    with pytest.raises(IntegrityError), sessions.begin() as session:
        ledger.enter(session, [job_id])
    with sessions.begin() as session:
        session.execute(text("DELETE FROM jobs WHERE id = :id"), {"id": job_id})
    assert row(sessions, job_id).status == "cancelled"
