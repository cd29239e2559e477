"""What is left of jobs whose words are forgotten, on a real PostgreSQL."""

import uuid
from typing import Any

import pytest
from sqlalchemy import text

from db import unstored
from db.session import Sessions
from db.vectors import JobVectors
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.keys import Caller
from tasks.limits.spent import Spent
from tasks.streams.transcript import Transcript
from tests import tables
from tests.support.entries import said

SECRET = "a word that nobody is to read again"


def ended(sessions: Sessions, caller: Caller, *, store: bool | None, ago_s: float = 0) -> uuid.UUID:
    """A job that was asked and answered with the secret, and ended so long ago."""
    job_id = tables.running(sessions, caller, input={"prompt": SECRET}, params={"stop": [SECRET]}, store=store).job_id
    transcript = Transcript()
    transcript.add(said(SECRET))
    with sessions.begin() as session:
        tables.finish(session, job_id, 1, transcript, Outcome(Status.SUCCEEDED, Spent(3, 1), {"text": SECRET}))
        session.add(JobVectors(job_id=job_id, dimensions=1, data=bytes(4)))
        late = "UPDATE jobs SET finished_at = now() - make_interval(secs => :ago_s) WHERE id = :id"
        session.execute(text(late), {"id": job_id, "ago_s": ago_s})
    return job_id


def words(sessions: Sessions, job_id: uuid.UUID) -> dict[str, Any]:
    """Where the secret is, or what came out."""
    query = """SELECT (j.input::text || j.params::text || coalesce(j.stage_input::text, '')) LIKE '%nobody%' AS asked,
        EXISTS (SELECT 1 FROM job_outputs o WHERE o.job_id = j.id) AS answered,
        EXISTS (SELECT 1 FROM job_vectors v WHERE v.job_id = j.id) AS embedded FROM jobs j WHERE j.id = :id"""
    with sessions() as session:
        return dict(session.execute(text(query), {"id": job_id}).mappings().one())


GONE = {"asked": False, "answered": False, "embedded": False}
THERE = {"asked": True, "answered": True, "embedded": True}


@pytest.mark.parametrize(
    ("store", "ago_s", "left"),
    [(False, 100, GONE), (False, 10, THERE), (True, 100, THERE), (None, 100, THERE)],
    ids=["due", "stream still read", "stored", "of ours"],
)
def test_what_isnt_kept_is_forgotten_once_its_stream_has_expired(
    sessions: Sessions, caller: Caller, store: bool | None, ago_s: float, left: dict[str, Any]
) -> None:
    job_id = ended(sessions, caller, store=store, ago_s=ago_s)
    with sessions.begin() as session:
        unstored.forget(session, 60, 10)
    assert words(sessions, job_id) == left


def test_unfinished_job_keeps_its_words(sessions: Sessions, caller: Caller) -> None:
    job_id = tables.running(sessions, caller, input={"prompt": SECRET}, store=False).job_id
    with sessions.begin() as session:
        assert unstored.forget(session, 0, 10) == 0
    assert words(sessions, job_id)["asked"]


def test_cost_and_status_outlive_the_words(sessions: Sessions, caller: Caller) -> None:
    job_id = ended(sessions, caller, store=False, ago_s=100)
    with sessions.begin() as session:
        unstored.forget(session, 60, 10)
    assert tables.column(sessions, job_id, "status") == "succeeded"
    assert tables.usage_rows(sessions, job_id) == [(3, 1)]


def test_at_most_so_many_are_forgotten_at_once_and_each_once(sessions: Sessions, caller: Caller) -> None:
    """The longest ended first; those that another process holds are left to it."""
    jobs = [ended(sessions, caller, store=False, ago_s=ago_s) for ago_s in (100, 300, 200)]
    with sessions.begin() as session:
        assert unstored.forget(session, 60, 1) == 1
    assert [words(sessions, job_id) == GONE for job_id in jobs] == [False, True, False]
    with sessions.begin() as holding, sessions.begin() as session:
        holding.execute(text("SELECT 1 FROM jobs WHERE id = :id FOR UPDATE"), {"id": jobs[0]})
        assert unstored.forget(session, 60, 10) == 1
    with sessions.begin() as session:
        assert unstored.forget(session, 60, 10) == 1
        assert unstored.forget(session, 60, 10) == 0


def test_answer_of_one_of_several_is_kept_until_all_are_there(sessions: Sessions, caller: Caller) -> None:
    """Else its parent would have nothing to put together, however soon that answer came."""
    parent_id, child_id = (
        tables.running(sessions, caller, store=False).job_id,
        ended(sessions, caller, store=False, ago_s=99),
    )
    with sessions.begin() as session:
        session.execute(
            text("UPDATE jobs SET parent_id = :p, place = 0 WHERE id = :c"), {"p": parent_id, "c": child_id}
        )
        assert unstored.forget(session, 60, 10) == 0
        session.execute(text("UPDATE jobs SET finished_at = now() WHERE id = :p"), {"p": parent_id})
        assert unstored.forget(session, 60, 10) == 1
