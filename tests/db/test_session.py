"""How a process reaches PostgreSQL, and how it is told that it doesn't any more."""

import time

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from db.session import Sessions


def test_transaction_that_stood_still_too_long_is_a_lost_connection(sessions: Sessions) -> None:
    """It ends as one whose server went away, which everybody knows how to take; the next one is as any."""
    with sessions() as session:
        session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '10ms'"))
        time.sleep(0.2)
        with pytest.raises(OperationalError):
            session.execute(text("SELECT 1"))
    with sessions.begin() as session:
        assert session.scalar(text("SELECT 1")) == 1
