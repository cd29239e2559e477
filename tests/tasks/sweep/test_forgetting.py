"""What nobody asks for any more is forgotten."""

import redis
from sqlalchemy import text

from db import summaries
from db.scope import scope
from db.session import Sessions
from tasks.keys import Caller
from tests import tables
from tests.support.post import Post
from tests.tasks.sweep.sweeping import made, sweep


def test_steps_that_nothing_uses_are_forgotten_for_every_tenant(
    sessions: Sessions, client: redis.Redis, caller: Caller
) -> None:
    """After thirty days, whether the tenant comes again or not; those in use stay."""
    owners = [caller, tables.tenant(sessions, "theirs")]
    for owner in owners:
        with sessions.begin() as session, scope(session, owner.tenant_id):
            for days in (0, 29, 31, 400):
                summaries.keep_step(session, owner.tenant_id, bytes([days % 256]), f"{days} days")
                aged = text(
                    "UPDATE summary_steps SET used_at = now() - make_interval(days => :days) WHERE text = :text"
                )
                session.execute(aged, {"days": days, "text": f"{days} days"})
    sweep(made(sessions, client, Post(client), tables.LEASE_S))
    for owner in owners:
        with sessions() as session, scope(session, owner.tenant_id):
            left = session.scalars(text("SELECT text FROM summary_steps ORDER BY used_at DESC")).all()
        assert left == ["0 days", "29 days"]
