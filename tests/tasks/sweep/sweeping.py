"""Sweepers for tests: real, but for the post."""

import time
import uuid

import redis

from db.session import Sessions
from tasks.jobs.lifecycle import Status
from tasks.queues.dispatch import Dispatcher
from tasks.sweep.sweeper import Sweeper
from tests import tables
from tests.support.post import Post


def made(sessions: Sessions, client: redis.Redis, post: Post, lease_s: float = tables.LEASE_S) -> Sweeper:
    return Sweeper(Dispatcher(post, sessions, lease_s), sessions, client, client, lease_s, ttl_s=60, every_s=0)


def sweep(sweeper: Sweeper) -> None:
    """One round of a sweeper that has reached PostgreSQL without a break for longer than a lease."""
    sweeper._swept_at = time.monotonic()
    sweeper._steady_since = sweeper._swept_at - sweeper.lease_s - 1
    sweeper.sweep()


def age(sessions: Sessions, job_id: uuid.UUID) -> None:
    """Makes the job's message old enough to be missed."""
    with sessions.begin() as session:
        tables.put(session, job_id, Status.DISPATCHED, dispatched_at="2020-01-01T00:00:00Z")


def stay_young(sessions: Sessions, job_id: uuid.UUID) -> None:
    """Keeps the job's message too young to be missed, however long the test takes."""
    with sessions.begin() as session:
        tables.put(session, job_id, Status.DISPATCHED, dispatched_at="2999-01-01T00:00:00Z")
