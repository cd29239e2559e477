"""The sweep removes jobs so long after their ends, where the installation says how long."""

import uuid

import pytest
import redis
from sqlalchemy import text

from db import summaries
from db.scope import scope
from db.session import Sessions
from tasks.conversations import conversations, items
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.keys import Caller
from tasks.limits.spent import Spent
from tasks.queues.dispatch import Dispatcher
from tasks.streams.transcript import Transcript
from tasks.sweep import forgetting
from tasks.sweep.sweeper import Sweeper
from tests import tables
from tests.support.post import Post
from tests.tasks.sweep.sweeping import sweep


def made(sessions: Sessions, client: redis.Redis, kept_s: float | None) -> Sweeper:
    dispatcher = Dispatcher(Post(client), sessions, tables.LEASE_S)
    return Sweeper(dispatcher, sessions, client, client, tables.LEASE_S, ttl_s=60, every_s=0, kept_s=kept_s)


def ended(sessions: Sessions, caller: Caller, ago_s: float) -> uuid.UUID:
    job_id = tables.running(sessions, caller).job_id
    with sessions.begin() as session:
        tables.finish(session, job_id, 1, Transcript(), Outcome(Status.SUCCEEDED, Spent(1, 1), {"text": "a"}))
        earlier = "UPDATE jobs SET finished_at = now() - make_interval(secs => :ago_s) WHERE id = :id"
        session.execute(text(earlier), {"id": job_id, "ago_s": ago_s})
    return job_id


def left(sessions: Sessions) -> set[uuid.UUID]:
    with sessions() as session:
        return set(session.scalars(text("SELECT id FROM jobs")))


def test_jobs_go_when_they_ended_long_ago(upkeep: Sessions, client: redis.Redis, caller: Caller) -> None:
    """Those that ended since stay, and without a retention all do."""
    old, young = ended(upkeep, caller, 86_500), ended(upkeep, caller, 86_300)
    sweep(made(upkeep, client, None))
    assert left(upkeep) == {old, young}
    sweep(made(upkeep, client, 86_400))
    assert left(upkeep) == {young}


def test_with_a_retention_of_zero_jobs_stay_as_long_as_streams_may(
    upkeep: Sessions, client: redis.Redis, caller: Caller
) -> None:
    """Whoever waits for an answer has it."""
    ended(upkeep, caller, 61)
    young = ended(upkeep, caller, 30)
    sweep(made(upkeep, client, 0))
    assert left(upkeep) == {young}


def test_it_looks_once_a_minute_where_there_was_nothing_more(
    upkeep: Sessions, client: redis.Redis, caller: Caller
) -> None:
    sweeper = made(upkeep, client, 100)
    ended(upkeep, caller, 101)
    sweep(sweeper)
    late = ended(upkeep, caller, 101)
    sweep(sweeper)
    assert left(upkeep) == {late}
    with upkeep.begin() as session:
        session.execute(text("UPDATE rounds SET began_at = began_at - interval '1 minute' WHERE name = 'retention'"))
    sweep(sweeper)
    assert left(upkeep) == set()


def test_steps_of_summaries_are_kept_no_longer_than_jobs(upkeep: Sessions, client: redis.Redis, caller: Caller) -> None:
    """What they say was in jobs that are gone."""
    with upkeep.begin() as session, scope(session, caller.tenant_id):
        for days in (1, 3):
            summaries.keep_step(session, caller.tenant_id, bytes([days]), f"{days} days")
            aged = text(
                "UPDATE summary_steps SET used_at = now() - make_interval(days => :days) WHERE digest = :digest"
            )
            session.execute(aged, {"days": days, "digest": bytes([days])})
    sweep(made(upkeep, client, 2 * 86_400))
    with upkeep() as session, scope(session, caller.tenant_id):
        assert session.scalars(text("SELECT text FROM summary_steps")).all() == ["1 days"]


def test_conversations_go_when_nothing_was_put_into_them_for_as_long(
    upkeep: Sessions, client: redis.Redis, caller: Caller
) -> None:
    """With what was said in them; without a retention they stay."""
    old, young = (conversation(upkeep, caller, ago_s) for ago_s in (101, 10))
    sweep(made(upkeep, client, None))
    sweep(made(upkeep, client, 100))
    with upkeep.begin() as session:
        assert session.scalars(text("SELECT id FROM conversations")).all() == [young]
        assert session.scalars(text("SELECT conversation_id FROM conversation_items")).all() == [young]
        assert old != young


def test_conversations_go_as_many_as_there_are(
    upkeep: Sessions, client: redis.Redis, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one round, or in the next one where there was no time."""
    for _ in range(60):
        conversation(upkeep, caller, 101)
    sweeper = made(upkeep, client, 100)
    with monkeypatch.context() as hurried:
        hurried.setattr(forgetting, "_UNUSED_S", 0.0)
        sweep(sweeper)
        assert conversations_left(upkeep) == 60
        hurried.setattr(forgetting, "_UNUSED_S", 60.0)
        sweep(sweeper)
    assert conversations_left(upkeep) == 0


def conversations_left(sessions: Sessions) -> int:
    with sessions.begin() as session:
        return int(session.scalar(text("SELECT count(*) FROM conversations")) or 0)


def conversation(sessions: Sessions, caller: Caller, ago_s: float) -> uuid.UUID:
    """One that was used so long ago."""
    said = items.new([{"id": "msg_1", "type": "message", "role": "user", "content": []}])
    with sessions.begin() as session:
        made_id = conversations.create(session, caller, {}, said).id
        earlier = "UPDATE conversations SET used_at = now() - make_interval(secs => :ago_s) WHERE id = :id"
        session.execute(text(earlier), {"id": made_id, "ago_s": ago_s})
    return made_id
