"""What a process does that finds other tables than its own."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from db import session as db_session
from db.session import Sessions
from tasks import errors
from tasks.operating import revisions
from tests.support import databases
from tests.support.revisions import moved


@pytest.fixture
def older(postgres_url: str) -> Iterator[Sessions]:
    """A database as the version before has left it."""
    with databases.beside(postgres_url, "older") as url, databases.pool(url) as engine:
        with engine.begin() as connection:
            moved(connection, "0025")
        yield db_session.open_sessions(engine)


def test_waiting_ends_when_the_process_is_to_stop(older: Sessions) -> None:
    """It was said what it waited for."""
    asked = iter([False, True])
    with capture_logs() as logs:
        revisions.wait(older, lambda: next(asked))
    assert [line["event"] for line in logs] == ["waiting_for_tables"]


def test_newer_tables_are_not_waited_for(older: Sessions) -> None:
    with older.begin() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(errors.TablesUnfit, match="made by a newer version"):
        revisions.wait(older, lambda: False)
