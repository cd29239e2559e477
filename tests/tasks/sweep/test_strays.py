"""Rows whose job is gone are told of."""

import redis
from sqlalchemy import text
from structlog.testing import capture_logs

from db.session import Sessions
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.keys import Caller
from tasks.limits.spent import Spent
from tasks.streams.transcript import Transcript
from tests import tables
from tests.support.post import Post
from tests.tasks.sweep.sweeping import made, sweep


def test_rows_whose_job_is_gone_are_told_of_once_a_minute(
    sessions: Sessions, client: redis.Redis, caller: Caller
) -> None:
    """By table, with one of them; the rows of a job that is there aren't."""
    kept, gone = (tables.running(sessions, caller).job_id for _ in range(2))
    for job_id in (kept, gone):
        with sessions.begin() as session:
            tables.finish(session, job_id, 1, Transcript(), Outcome(Status.SUCCEEDED, Spent(1)))
    with sessions.begin() as session:
        session.execute(text("DELETE FROM jobs WHERE id = :id"), {"id": gone})
    sweeper = made(sessions, client, Post(client), tables.LEASE_S)
    with capture_logs() as logs:
        sweep(sweeper)
        sweep(sweeper)
    told = [log for log in logs if log["event"] == "rows_without_their_job"]
    assert [(log["table"], log["jobs"], log["for_example"]) for log in told] == [
        ("job_attempts", 1, str(gone)),
        ("job_outputs", 1, str(gone)),
    ]
