"""Whose turn it is: between tenants, and within one."""

from db import turns
from db.session import Sessions
from tasks.keys import Caller
from tests import tables


def next_two(sessions: Sessions, lane: str = "interactive", limit: int = 2) -> list[object]:
    with sessions() as session:
        return [found.job_id for found in turns.next_queued(session, "alpha", lane, limit)]


def test_higher_priority_goes_first_then_the_older(sessions: Sessions, caller: Caller) -> None:
    """Priority outranks age; among equals the older comes first."""
    old = tables.submit(sessions, caller).id
    tables.submit(sessions, caller)
    urgent = tables.submit(sessions, caller, priority=9).id
    assert next_two(sessions) == [urgent, old]


def test_tenant_with_many_jobs_leaves_room_for_another(sessions: Sessions, caller: Caller) -> None:
    """Among equal priorities tenants take turns, however many jobs one of them has waiting."""
    crowd = [tables.submit(sessions, caller).id for _ in range(20)]
    late = tables.submit(sessions, tables.tenant(sessions, "theirs")).id
    assert next_two(sessions) == [crowd[0], late]


def test_tenant_already_served_waits_its_turn(sessions: Sessions, caller: Caller) -> None:
    """What a tenant has in the window or running counts as turns it has had."""
    first, second, third = (tables.submit(sessions, caller).id for _ in range(3))
    theirs = [tables.submit(sessions, tables.tenant(sessions, "theirs")).id for _ in range(2)]
    tables.dispatch(sessions, first, second)
    assert next_two(sessions, limit=3) == [theirs[0], theirs[1], third]


def test_lanes_and_models_do_not_mix(sessions: Sessions, caller: Caller) -> None:
    """A lane's next jobs are of that lane and model only."""
    tables.submit(sessions, caller, model="beta")
    batch = tables.submit(sessions, caller, lane="batch").id
    assert next_two(sessions) == []
    assert next_two(sessions, "batch") == [batch]
