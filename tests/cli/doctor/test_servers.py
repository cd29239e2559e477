"""`forebay doctor` and the servers: what is found of PostgreSQL and of Redis once something is broken."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import redis
from sqlalchemy import text
from sqlalchemy.engine import make_url

from cli.operator.doctor import brokers, postgres
from cli.operator.doctor.finding import Installation, Level
from db.session import Sessions
from tests.cli.doctor.looks import NOWHERE, asking, found, only
from tests.support import databases, revisions


@contextmanager
def configured(client: redis.Redis, **settings: str) -> Iterator[None]:
    """Redis as it is set by these, and as it was afterwards."""
    before: dict[str, Any] = {}
    for name in settings:
        got: Any = client.config_get(name.replace("_", "-"))
        before.update({key if isinstance(key, str) else key.decode(): value for key, value in got.items()})
    try:
        for name, value in settings.items():
            client.config_set(name.replace("_", "-"), value)
        yield
    finally:
        for name, was in before.items():
            client.config_set(name, was)


def test_postgres_that_is_away(installation: Installation) -> None:
    with asking(installation, f"postgresql://postgres@{NOWHERE}/postgres") as away:
        level, said = only(postgres.reachable, away)
    assert (level, "refused" in said) == (Level.WRONG, True)


def test_tables_of_a_version_before(installation: Installation, postgres_url: str) -> None:
    with databases.beside(postgres_url, "behind") as url, asking(installation, url) as behind:
        with databases.pool(url) as engine, engine.begin() as connection:
            revisions.moved(connection, "0026")
        level, said = only(postgres.tables, behind)
    assert (level, "forebay migrate" in said) == (Level.WRONG, True)


@contextmanager
def asked_by_a_stranger(installation: Installation, postgres_url: str) -> Iterator[Installation]:
    """The installation, with its PostgreSQL asked by a role that has nothing."""
    with installation.sessions.begin() as session:
        session.execute(text("CREATE ROLE doctors_stranger LOGIN"))
    try:
        stranger = make_url(postgres_url).set(username="doctors_stranger").render_as_string(hide_password=False)
        with asking(installation, stranger) as theirs:
            yield theirs
    finally:
        with installation.sessions.begin() as session:
            session.execute(text("DROP ROLE doctors_stranger"))


def test_role_that_may_not_be_taken(installation: Installation, postgres_url: str) -> None:
    with asked_by_a_stranger(installation, postgres_url) as theirs:
        told = found(postgres.roles, theirs)
    assert [level for level, _ in told] == [Level.WRONG, Level.WRONG]
    assert "forebay_tenant can't be taken" in told[0][1]


def test_role_of_dumps_that_would_leave_out_documents(installation: Installation, sessions: Sessions) -> None:
    with sessions.begin() as session:
        session.execute(text("ALTER ROLE forebay_backup NOBYPASSRLS"))
    try:
        level, said = only(postgres.backups, installation)
    finally:
        with sessions.begin() as session:
            session.execute(text("ALTER ROLE forebay_backup BYPASSRLS"))
    assert (level, "ALTER ROLE forebay_backup BYPASSRLS" in said) == (Level.WARNING, True)


def test_postgres_that_takes_no_writes(installation: Installation, postgres_url: str) -> None:
    url = make_url(postgres_url).update_query_dict({"options": "-c default_transaction_read_only=on"})
    with asking(installation, url.render_as_string(hide_password=False)) as standby:
        level, said = only(postgres.writes, standby)
    assert (level, "takes no writes" in said) == (Level.WRONG, True)


def test_transactions_that_may_not_be_seen_are_not_said_to_be_none(
    installation: Installation, postgres_url: str
) -> None:
    with asked_by_a_stranger(installation, postgres_url) as theirs:
        level, said = only(postgres.transactions, theirs)
    assert (level, "none of ours" in said) == (Level.OK, True)


def test_wall_between_tenants_that_is_down(installation: Installation, sessions: Sessions) -> None:
    opened = "chunks", "documents"
    with sessions.begin() as session:
        for table in opened:
            session.execute(text(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY"))
    try:
        level, said = only(postgres.roles, installation)
    finally:
        with sessions.begin() as session:
            for table in opened:
                session.execute(text(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"))
    assert (level, "tenants apart in chunks, documents" in said) == (Level.WRONG, True)
    assert all(f"ALTER TABLE {table} ENABLE" in said for table in opened)


def test_clocks_that_differ(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 60)
    level, said = only(postgres.clock, installation)
    assert (level, "60.0 s behind" in said) == (Level.WARNING, True)


def test_transaction_that_stays_open(
    installation: Installation, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_OPEN_S", 0.0)
    with sessions.begin() as other:
        other.execute(text("SELECT 1"))
        assert only(postgres.transactions, installation)[0] is Level.WARNING


def test_redis_that_is_away(installation: Installation) -> None:
    with redis.Redis.from_url(f"redis://{NOWHERE}") as away:
        assert only(brokers.reachable, replace(installation, streams=away))[0] is Level.WRONG


def test_redis_that_may_drop_what_it_is_given(installation: Installation, client: redis.Redis) -> None:
    with configured(client, maxmemory_policy="allkeys-lru"):
        told = found(brokers.keeps, installation)
    assert any(level is Level.WARNING and "noeviction" in said for level, said in told)


def test_redis_that_is_full(installation: Installation, client: redis.Redis) -> None:
    with configured(client, maxmemory="1"):
        assert only(brokers.memory, installation)[0] is Level.WARNING
        assert only(brokers.reachable, installation)[0] is Level.WRONG


@contextmanager
def refused(installation: Installation, client: redis.Redis, redis_url: str, *rules: str) -> Iterator[Installation]:
    """The installation, with its Redis asked by a user of these rules."""
    client.execute_command("ACL", "SETUSER", "doctors_stranger", "on", "nopass", "~*", "+@all", *rules)
    try:
        with redis.Redis.from_url(redis_url, username="doctors_stranger", password="any") as theirs:
            yield replace(installation, streams=theirs)
    finally:
        client.execute_command("ACL", "DELUSER", "doctors_stranger")


def test_redis_that_refuses_to_tell_of_itself(installation: Installation, client: redis.Redis, redis_url: str) -> None:
    """As managed ones do: it works, and somebody has to see to the rest."""
    with refused(installation, client, redis_url, "-info") as theirs:
        level, said = only(brokers.reachable, theirs)
        assert found(brokers.memory, theirs) == []
    assert (level, "refuses INFO" in said) == (Level.WARNING, True)


def test_redis_that_may_not_be_written_to(installation: Installation, client: redis.Redis, redis_url: str) -> None:
    with refused(installation, client, redis_url, "-set") as theirs:
        level, said = only(brokers.reachable, theirs)
    assert (level, "may not write" in said) == (Level.WRONG, True)


@pytest.mark.parametrize(
    ("version", "level"),
    [("7.4.0-rc1", Level.OK), ("6.0.16", Level.WRONG), ("unstable", Level.WARNING), ("", Level.WARNING)],
)
def test_version_of_redis_as_it_may_be_written(version: str, level: Level) -> None:
    assert brokers.judged("Redis", {"redis_version": version}).level is level
