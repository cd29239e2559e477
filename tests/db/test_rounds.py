"""Who has the next round of the sweep: one process at a time, whichever looks first once it is due."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from db import rounds
from db.session import Sessions
from tasks.keys import Caller
from tests import tables

HOUR = 3600.0


def begins(sessions: Sessions, *, hurry: bool = False) -> bool:
    with sessions.begin() as session:
        _, begun = rounds.look(session, lease_s=tables.LEASE_S, every_s=HOUR, hurry=hurry)
    return begun


def move(sessions: Sessions, seconds: float) -> None:
    """Has the last round begun so much later, as if clocks had been set back meanwhile."""
    with sessions.begin() as session:
        session.execute(text("UPDATE rounds SET began_at = began_at + make_interval(secs => :s)"), {"s": seconds})


def test_round_is_due_when_there_was_none_or_when_its_time_has_come(sessions: Sessions) -> None:
    assert begins(sessions)
    assert not begins(sessions)
    move(sessions, -HOUR - 1)
    assert begins(sessions)
    assert not begins(sessions)


def test_clock_that_was_set_back_holds_up_no_round(sessions: Sessions) -> None:
    """What began in the future began by another clock."""
    assert begins(sessions)
    move(sessions, 100 * HOUR)
    assert begins(sessions)


def test_round_comes_early_where_a_lease_has_run_out(sessions: Sessions, caller: Caller) -> None:
    """Whoever looks, and can tell silence from a PostgreSQL that was away, needs not wait for the second to be over."""
    tables.worker(sessions)
    tables.running(sessions, caller)
    begins(sessions)
    assert not begins(sessions, hurry=True)
    tables.silence(sessions, "w1", tables.LEASE_S + 1)
    assert not begins(sessions)
    assert begins(sessions, hurry=True)


def test_of_many_that_look_at_once_one_has_the_round(sessions: Sessions) -> None:
    for _ in range(10):
        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(lambda _: begins(sessions), range(8))) == 1
        move(sessions, -2 * HOUR)


def test_look_fails_while_heartbeats_cannot_be_written(upkeep: Sessions, sessions: Sessions) -> None:
    """Who could look then would take the silence of all workers for their deaths when the lock is gone."""
    with sessions.begin() as session:
        session.execute(text("LOCK TABLE workers"))
        with pytest.raises(OperationalError):
            begins(upkeep)
