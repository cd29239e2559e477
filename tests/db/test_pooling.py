"""What holds when each transaction may be on another connection: limits, and the wall between tenants."""

import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from db import session as db_session
from db.scope import ROLE, scope
from db.session import Sessions, alone
from tests import shelves, tables
from tests.support.bouncers import bouncer

Statement = Callable[[str], object]


@pytest.fixture(scope="module", params=["session", "transaction"])
def bounced(
    request: pytest.FixtureRequest, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, bool]]:
    """A PgBouncer that has two connections only, and all that are given out at a time in its session mode."""
    by_transaction = request.param == "transaction"
    with bouncer(postgres_url, tmp_path_factory.mktemp("b"), request.param, 2 if by_transaction else 10) as url:
        yield url, by_transaction


@pytest.fixture(scope="module")
def pooled(bounced: tuple[str, bool]) -> Iterator[Engine]:
    url, by_transaction = bounced
    engine = db_session.open_engine(
        url, pool_size=8, statement_timeout_s=60, pool_timeout_s=60, by_transaction=by_transaction
    )
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def hurried(bounced: tuple[str, bool]) -> Iterator[Engine]:
    """With limits that a test can wait for."""
    url, by_transaction = bounced
    engine = db_session.open_engine(
        url, pool_size=1, statement_timeout_s=0.3, lock_timeout_s=0.1, by_transaction=by_transaction
    )
    yield engine
    engine.dispose()


@pytest.fixture(params=["in a transaction", "alone"])
def sent(request: pytest.FixtureRequest, hurried: Engine) -> Statement:
    """Runs a statement through PgBouncer, in both of the ways that there are."""

    def run(statement: str) -> object:
        with db_session.open_sessions(hurried).begin() as session:
            if request.param == "alone":
                [row] = alone(session)(statement, {})
                return next(iter(row.values()))
            return session.scalar(text(statement))

    return run


def test_limits_hold_for_each_statement(sent: Statement, sessions: Sessions) -> None:
    """A statement that takes too long is ended, one that waits for a lock sooner; others go on as before."""
    with pytest.raises(OperationalError, match="statement timeout"):
        sent("SELECT 1 FROM pg_sleep(5)")
    with sessions.begin() as session:
        session.execute(text("LOCK TABLE jobs"))
        with pytest.raises(OperationalError, match="lock timeout"):
            sent("SELECT count(*) FROM jobs")
    assert [sent("SELECT count(*) FROM jobs") for _ in range(8)] == [0] * 8  # often enough to be prepared, if any is


def test_nothing_that_a_transaction_sets_reaches_another_client(pooled: Engine) -> None:
    """PgBouncer's own connections are as PostgreSQL makes them, after however many of ours."""
    ours = db_session.open_sessions(pooled)
    for _ in range(4):
        with ours.begin() as session, scope(session, uuid.uuid4()):
            assert session.scalar(text("SHOW statement_timeout")) == "1min"
            assert session.scalar(text("SELECT current_user")) == ROLE
    pooled.dispose()
    bare = db_session.open_engine(pooled.url.render_as_string(False), pool_size=1, by_transaction=True)
    with bare.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        found = connection.execute(
            text("SELECT current_setting('statement_timeout'), current_user, current_setting('app.tenant', true)")
        ).one()
        assert connection.scalar(text("SELECT count(*) FROM pg_prepared_statements")) == 0
    assert tuple(found) in {("0", "postgres", ""), ("0", "postgres", None)}
    bare.dispose()


def test_tenants_that_share_connections_never_see_each_other(pooled: Engine, sessions: Sessions) -> None:
    """Attacked by many at once, on fewer connections, among errors: whoever forgets the condition sees its own."""
    tenants = [tables.tenant(sessions, name) for name in ("ours", "theirs", "others")]
    for caller in tenants:
        shelves.filled(sessions, caller, ["fox", "hen"], shelves.units(2, 4))
    pooled_sessions, wrong = db_session.open_sessions(pooled), []

    def attack(number: int) -> None:
        tenant_id = tenants[number % 3].tenant_id
        for turn in range(30):
            seen = None
            with pooled_sessions.begin() as session:
                try:
                    with scope(session, tenant_id):
                        seen = set(session.scalars(text("SELECT tenant_id FROM chunks")))
                        if turn % 5 == number % 5:
                            session.execute(text("SELECT key_hash FROM api_keys"))
                    outside = session.scalar(text("SELECT current_user"))
                except DBAPIError:
                    session.rollback()
                    outside = session.scalar(text("SELECT current_user"))
            [row] = alone(session)("SELECT current_user AS who, current_setting('app.tenant', true) AS tenant", {})
            if seen != {tenant_id} or outside != "postgres" or row["who"] != "postgres" or row["tenant"]:
                wrong.append((seen, outside, row))

    threads = [threading.Thread(target=attack, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_statement_alone_costs_one_round_trip_all_the_same(pooled: Engine, tmp_path: Path) -> None:
    """Also where its limits come with it."""
    with pooled.connect() as connection, (tmp_path / "trace").open("w+b") as trace:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.pgconn.trace(trace.fileno())
        connection.connection.close()
        with db_session.open_sessions(pooled)() as session:
            alone(session)("SELECT 1 AS one", {})
        driver.pgconn.untrace()
        sent = [line.split("\t")[3] for line in (tmp_path / "trace").read_text().splitlines()]
    assert sum(message in ("Sync", "Query") for message in sent) == 1
