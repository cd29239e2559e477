"""The sweep forgets the words of jobs that aren't to be kept."""

import uuid

from sqlalchemy import text

from db.session import Sessions
from tasks import settings
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.keys import Caller
from tasks.limits.spent import Spent
from tasks.streams.transcript import Transcript
from tasks.sweep import unstored
from tasks.sweep.sweeper import Sweeper
from tests import tables
from tests.tasks.sweep.sweeping import sweep


def test_words_are_forgotten_by_the_sweep_when_streams_have_expired(
    sessions: Sessions, caller: Caller, sweeper: Sweeper
) -> None:
    """One that ended just now is left for those who still read it."""
    late, young = (_ended(sessions, caller, ago_s) for ago_s in (settings.STREAM_TTL_S + 60, 1))
    with sessions() as session:
        assert session.scalars(unstored.wanted(tables.LEASE_S)).all() == [late]
    sweep(sweeper)
    assert tables.column(sessions, late, "input") == {}
    assert tables.column(sessions, young, "input") != {}
    with sessions() as session:
        assert session.scalars(unstored.wanted(tables.LEASE_S)).all() == []


def _ended(sessions: Sessions, caller: Caller, ago_s: float) -> uuid.UUID:
    job_id = tables.running(sessions, caller, store=False).job_id
    with sessions.begin() as session:
        tables.finish(session, job_id, 1, Transcript(), Outcome(Status.SUCCEEDED, Spent(1, 1), {"text": "a"}))
        earlier = "UPDATE jobs SET finished_at = now() - make_interval(secs => :ago_s) WHERE id = :id"
        session.execute(text(earlier), {"id": job_id, "ago_s": ago_s})
    return job_id
