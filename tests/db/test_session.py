"""How a process reaches PostgreSQL, and how it is told that it doesn't any more."""

import json
import select
import time
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, DBAPIError, OperationalError

from db import session as db_session
from db.session import Sessions, alone, told
from tests.support import waiting
from tests.support.platform import forgetful_postgres, restartable, running


def test_transaction_that_stood_still_too_long_is_a_lost_connection(sessions: Sessions) -> None:
    """It ends as one whose server went away, which everybody knows how to take; the next one is as any."""
    with sessions() as session:
        session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '10ms'"))
        time.sleep(0.2)
        with pytest.raises(OperationalError):
            session.execute(text("SELECT 1"))
    with sessions.begin() as session:
        assert session.scalar(text("SELECT 1")) == 1


@pytest.mark.parametrize("number", [1e25, -1e25, 1.5e300, 5, 10**18 - 1, 1 - 10**18])
def test_number_is_read_as_it_was_kept(sessions: Sessions, number: float) -> None:
    """A large real isn't the whole number that PostgreSQL writes for it, which has more digits than others read."""
    with sessions.begin() as session:
        read = session.scalar(text("SELECT CAST(:kept AS jsonb)"), {"kept": json.dumps([number])})
    assert (read, type(read[0])) == ([number], type(number))


def test_commit_that_is_refused_leaves_no_transaction_behind(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when it is cancelled at that moment: the connection's next user finds it as if it were new."""
    engine = db_session.open_engine(postgres_url, pool_size=1)
    sessions = db_session.open_sessions(engine)

    def write() -> None:
        with sessions.begin() as session:
            session.execute(text("SELECT 1"))

    with monkeypatch.context() as refusing:
        refusing.setattr(psycopg.Connection, "commit", lambda self: self.execute("SELECT 1 / 0"))
        with pytest.raises(DataError):
            write()
    write()
    engine.dispose()


def test_statement_alone_that_is_refused_leaves_the_pool_as_it_was(postgres_url: str) -> None:
    """The error is SQLAlchemy's, and the one connection that there is commits nothing by itself afterwards."""
    engine = db_session.open_engine(postgres_url, pool_size=1)
    with db_session.open_sessions(engine)() as session:
        with pytest.raises(DataError):
            alone(session)("SELECT 1 / 0", {})
        assert alone(session)("SELECT 1 AS one", {}) == [{"one": 1}]
        session.execute(text("CREATE TABLE undone (id int)"))
        session.rollback()
        assert session.scalar(text("SELECT to_regclass('undone')")) is None
    engine.dispose()


def test_statement_alone_that_loses_its_connection_says_so(postgres_url: str) -> None:
    """The next one has another."""
    engine = db_session.open_engine(postgres_url, pool_size=1)
    with db_session.open_sessions(engine)() as session:
        with pytest.raises(OperationalError) as lost:
            alone(session)("SELECT pg_terminate_backend(pg_backend_pid())", {})
        assert lost.value.connection_invalidated
        assert alone(session)("SELECT 1 AS one", {}) == [{"one": 1}]
    engine.dispose()


@pytest.mark.parametrize("by_transaction", [False, True])
def test_connections_that_were_closed_while_nobody_used_them_are_made_anew(
    tmp_path: Path, by_transaction: bool
) -> None:
    """PostgreSQL was restarted meanwhile: of as many statements at a time as there are connections, none fails."""
    tmp_path.chmod(0o755)
    with restartable(tmp_path, forgetful_postgres) as (url, restart):
        engine = db_session.open_engine(url, pool_size=2, by_transaction=by_transaction)
        sessions = db_session.open_sessions(engine)

        def ask() -> None:
            with sessions() as session, sessions() as other:
                assert session.scalar(text("SELECT 1")) == 1
                assert alone(other)("SELECT 1 AS one", {}) == [{"one": 1}]

        ask()
        restart()
        ask()
        engine.dispose()


def test_one_connection_that_was_closed_costs_no_other(postgres_url: str, sessions: Sessions) -> None:
    engine = db_session.open_engine(postgres_url, pool_size=2)
    ours = db_session.open_sessions(engine)

    def backends() -> set[int]:
        with ours() as one, ours() as two:
            return {session.scalar(text("SELECT pg_backend_pid()")) or 0 for session in (one, two)}

    before = backends()
    ended = min(before)
    with sessions() as session:
        session.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": ended})
    after = backends()
    assert before - after == {ended}
    assert len(after) == 2
    engine.dispose()


def test_server_that_closes_what_it_has_just_accepted_is_away(postgres_url: str, sessions: Sessions) -> None:
    """As a pooler does that has no server: nobody takes it for a mistake of ours."""
    engine = db_session.open_engine(postgres_url, pool_size=1)
    ours = db_session.open_sessions(engine)

    def end(connection: psycopg.Connection, _: object) -> None:
        with sessions() as session:
            session.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": connection.info.backend_pid})

    with ours() as session:
        session.execute(text("SELECT 1"))
    event.listen(engine, "connect", end)
    for closed in (True, False):
        if closed:
            [idle] = [one for one in engine.pool._pool.queue if one.dbapi_connection]  # type: ignore[attr-defined]
            end(idle.dbapi_connection, None)
        with pytest.raises(OperationalError), ours() as session:
            session.execute(text("SELECT 1"))
        with pytest.raises(OperationalError), ours() as session:
            alone(session)("SELECT 1", {})
    engine.dispose()


def test_server_that_is_gone_is_told_of_at_once(tmp_path: Path) -> None:
    """The error is that of a connection that can't be made, however many times it is tried."""
    tmp_path.chmod(0o755)
    with running(tmp_path, forgetful_postgres) as url:
        engine = db_session.open_engine(url, pool_size=1)
        sessions = db_session.open_sessions(engine)
        with sessions() as session:
            session.execute(text("SELECT 1"))
    for _ in range(2):
        with pytest.raises(OperationalError), sessions() as session:
            session.execute(text("SELECT 1"))
        with pytest.raises(OperationalError), sessions() as session:
            alone(session)("SELECT 1", {})
    engine.dispose()


def test_log_is_told_what_postgres_says_and_nothing_that_a_tenant_said(sessions: Sessions, postgres_url: str) -> None:
    """Neither a value that a message quotes, nor the details, which quote whole rows."""

    def said(statement: str, **values: str) -> str:
        with sessions() as session, pytest.raises(DBAPIError) as refused:
            session.execute(text(statement), values)
        assert "secret" in str(refused.value) or not values
        return told(refused.value)

    assert said("SELECT CAST(:word AS int)", word="a secret") == "InvalidTextRepresentation 22P02"
    assert said("INSERT INTO tenants (id, name) VALUES (NULL, :word)", word="a secret") == "NotNullViolation 23502"
    assert said("SELECT to_tsquery(:word)", word="a secret") == "SyntaxError 42601"
    assert said("SELECT * FROM nowhere") == 'UndefinedTable 42P01: relation "nowhere" does not exist'
    ended = said("SET LOCAL statement_timeout = 1; SELECT pg_sleep(1)")
    assert ended == "QueryCanceled 57014: canceling statement due to statement timeout"
    nobody = db_session.open_engine(make_url(postgres_url).set(username="no").render_as_string(False), pool_size=1)
    with pytest.raises(OperationalError) as refused, db_session.open_sessions(nobody)() as session:
        alone(session)("SELECT 1", {})
    assert 'role "no" does not exist' in told(refused.value)


def test_log_is_told_no_guess_of_why_a_connection_was_closed(postgres_url: str) -> None:
    """The server lives, and its log says why: here a transaction was idle for too long."""
    with psycopg.connect(postgres_url) as connection:
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = '1ms'")
        waiting.until(lambda: select.select([connection], [], [], 0)[0])
        with pytest.raises(psycopg.OperationalError) as lost, connection.pipeline():
            connection.execute("SELECT 1")
    told_of = told(lost.value)
    assert "server closed the connection unexpectedly; why is in the log of PostgreSQL" in told_of
    assert "terminated abnormally" not in told_of


def test_connection_that_is_refused_leaves_those_that_there_are(sessions: Sessions, postgres_url: str) -> None:
    """A server that takes no more has not gone: the pool's others are as good as before, and stay counted."""
    with sessions.begin() as session:
        session.execute(text("CREATE ROLE single LOGIN CONNECTION LIMIT 1"))
    engine = db_session.open_engine(make_url(postgres_url).set(username="single").render_as_string(False), pool_size=2)
    pool = engine.pool
    with engine.connect() as held, db_session.open_sessions(engine)() as session:
        with pytest.raises(OperationalError, match="too many connections for role"):
            alone(session)("SELECT 1 AS one", {})
        assert held.scalar(text("SELECT 1")) == 1
    assert engine.pool is pool
    engine.dispose()
    with sessions.begin() as session:
        session.execute(text("DROP ROLE single"))
