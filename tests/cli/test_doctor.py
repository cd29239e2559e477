"""`forebay doctor`: what is well, and what is found once it is broken."""

import datetime as dt
import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from click.testing import CliRunner
from sqlalchemy import text
from sqlalchemy.engine import make_url

from cli.main import main
from cli.operator.doctor import brokers, command, jobs, machine, postgres, processes
from cli.operator.doctor.finding import Check, Finding, Installation, Level
from db import session as db_session
from db.session import Sessions
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.keys import Caller
from tasks.limits.spent import Spent
from tasks.streams.transcript import Transcript
from tests import tables
from tests.support import catalogs, databases, revisions, workers

NOWHERE = "127.0.0.1:9"
SECRETS = {"FOREBAY_KEY_PEPPER": tables.PEPPER, "FOREBAY_WEBHOOK_KEY": tables.WEBHOOK_KEY}


@pytest.fixture
def installation(
    sessions: Sessions, client: redis.Redis, postgres_url: str, redis_url: str, tmp_path: Path
) -> Installation:
    catalog = tmp_path / "catalog.toml"
    catalog.write_text(catalogs.echo("alpha", slots=2))
    own = workers.settings(postgres_url, redis_url, catalog)
    return Installation(own, sessions, client, client, tmp_path, f"http://{NOWHERE}", None)


def found(check: Check, installation: Installation) -> list[tuple[Level, str]]:
    """What the check finds, with all that it says."""
    return [(finding.level, f"{finding.seen} {finding.advice}") for finding in check(installation)]


def only(check: Check, installation: Installation) -> tuple[Level, str]:
    [one] = found(check, installation)
    return one


WELL = [
    postgres.reachable,
    postgres.tables,
    postgres.roles,
    postgres.writes,
    postgres.clock,
    postgres.transactions,
    postgres.room_for_connections,
    brokers.reachable,
    brokers.memory,
    jobs.waiting,
    jobs.failing,
    jobs.webhooks,
    machine.models,
    machine.logs,
    processes.flower,
]


@pytest.mark.parametrize("check", WELL, ids=lambda check: check.__name__)
def test_what_is_well_is_ok(check: Check, installation: Installation) -> None:
    assert {level for level, _ in found(check, installation)} <= {Level.OK}


@contextmanager
def asking(installation: Installation, url: str) -> Iterator[Installation]:
    """The installation, with its PostgreSQL asked by this URL."""
    with databases.pool(url) as engine:
        yield replace(installation, sessions=db_session.open_sessions(engine))


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


def test_role_that_may_not_be_taken(installation: Installation, postgres_url: str, sessions: Sessions) -> None:
    with sessions.begin() as session:
        session.execute(text("CREATE ROLE doctors_stranger LOGIN"))
    try:
        stranger = make_url(postgres_url).set(username="doctors_stranger").render_as_string(hide_password=False)
        with asking(installation, stranger) as theirs:
            told = found(postgres.roles, theirs)
    finally:
        with sessions.begin() as session:
            session.execute(text("DROP ROLE doctors_stranger"))
    assert [level for level, _ in told] == [Level.WRONG, Level.WRONG]
    assert "forebay_tenant can't be taken" in told[0][1]


def test_wall_between_tenants_that_is_down(installation: Installation, sessions: Sessions) -> None:
    with sessions.begin() as session:
        session.execute(text("ALTER TABLE chunks NO FORCE ROW LEVEL SECURITY"))
    try:
        level, said = only(postgres.roles, installation)
    finally:
        with sessions.begin() as session:
            session.execute(text("ALTER TABLE chunks FORCE ROW LEVEL SECURITY"))
    assert (level, "tenants apart in chunks" in said) == (Level.WRONG, True)


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


def test_workers_that_are_there_silent_or_missing(installation: Installation, sessions: Sessions) -> None:
    tables.worker(sessions, "alpha@here")
    tables.worker(sessions, "alpha@gone")
    tables.silence(sessions, "alpha@gone", 2 * tables.LEASE_S)
    told = found(jobs.workers, installation)
    assert [level for level, _ in told] == [Level.OK, Level.WRONG, Level.WARNING]
    assert "alpha: 1, with 2 of 2 slots free" in told[0][1]
    assert "control has none" in told[1][1]
    assert "alpha@gone" in told[2][1]


def test_job_that_waits_for_long(installation: Installation, sessions: Sessions, caller: Caller) -> None:
    job = tables.submit(sessions, caller)
    with sessions.begin() as session:
        tables.put(session, job.id, Status.QUEUED)
    assert only(jobs.waiting, installation)[0] is Level.OK
    tables.backdate(sessions, job.id, dt.timedelta(minutes=10))
    level, said = only(jobs.waiting, installation)
    assert (level, "1 wait in alpha, the oldest for 60" in said) == (Level.WARNING, True)


def test_job_that_waits_for_a_model_that_is_gone(
    installation: Installation, sessions: Sessions, caller: Caller
) -> None:
    tables.submit(sessions, caller)
    installation.settings.catalog.write_text(catalogs.echo("another", slots=2))
    level, said = only(jobs.waiting, installation)
    assert (level, "jobs end --model alpha" in said) == (Level.WARNING, True)


def test_job_that_failed_by_our_fault(installation: Installation, sessions: Sessions, caller: Caller) -> None:
    job_id = tables.running(sessions, caller).job_id
    with sessions.begin() as session:
        failed = Outcome(Status.FAILED, Spent(1, 0), error=("internal", "a mistake"))
        tables.finish(session, job_id, 1, Transcript(), failed)
    level, said = only(jobs.failing, installation)
    assert (level, "1 with internal" in said) == (Level.WARNING, True)


def test_sweep_that_nobody_does(installation: Installation, sessions: Sessions) -> None:
    def began(ago: str) -> Level:
        with sessions.begin() as session:
            session.execute(text("DELETE FROM rounds WHERE name = 'sweep'"))
            session.execute(text(f"INSERT INTO rounds VALUES ('sweep', now() - interval '{ago}')"))
        return only(jobs.sweep, installation)[0]

    with sessions.begin() as session:
        session.execute(text("DELETE FROM rounds WHERE name = 'sweep'"))
    assert only(jobs.sweep, installation)[0] is Level.WRONG
    assert (began("5 minutes"), began("1 second")) == (Level.WRONG, Level.OK)


def test_webhook_that_was_given_up(installation: Installation, sessions: Sessions, caller: Caller) -> None:
    columns = "id, tenant_id, target_id, message_id, type, url, payload, status, give_up_at"
    values = f"gen_random_uuid(), '{caller.tenant_id}', '{uuid.uuid4()}', gen_random_uuid(), 'job.failed', 'x', '{{}}'"
    with sessions.begin() as session:
        session.execute(text(f"INSERT INTO webhook_deliveries ({columns}) VALUES ({values}, 'failed', now())"))
    level, said = only(jobs.webhooks, installation)
    assert (level, "1 were given up" in said) == (Level.WARNING, True)


def test_catalogue_with_a_mistake_and_a_model_without_its_file(installation: Installation) -> None:
    catalog = installation.settings.catalog
    catalog.write_text(catalogs.model("alpha", "llamacpp", "chat", context=64, slots=1, file="gone.gguf"))
    assert [level for level, _ in found(machine.models, installation)] == [Level.WRONG, Level.OK]
    catalog.write_text("[alpha")
    assert only(machine.models, installation)[0] is Level.WRONG


@pytest.mark.parametrize(("free", "level"), [(50, Level.OK), (5, Level.WARNING), (1, Level.WRONG)])
def test_disk_that_fills(installation: Installation, monkeypatch: pytest.MonkeyPatch, free: int, level: Level) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(total=100, free=free))
    assert only(machine.disk, installation)[0] is level


def test_logs_that_grow(installation: Installation) -> None:
    folder = installation.folder / "logs"
    folder.mkdir()
    with (folder / "api.log").open("wb") as log:
        log.truncate(2 * 10**9)
    assert only(machine.logs, installation)[0] is Level.WARNING


def test_settings_as_each_process_reads_them(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that only some machines have may be missing on this one; a mistake is one everywhere."""
    own = installation.settings
    monkeypatch.setenv("FOREBAY_DATABASE_URL", own.database_url)
    monkeypatch.setenv("FOREBAY_REDIS_URL", own.redis_url)
    assert [level for level, _ in found(processes.settings, installation)] == [Level.WARNING, Level.WARNING]
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    assert only(processes.settings, installation)[0] is Level.OK
    monkeypatch.setenv("FOREBAY_LEASE_S", "soon")
    told = found(processes.settings, installation)
    assert [level for level, _ in told] == [Level.WRONG] * 3
    assert all("FOREBAY_LEASE_S" in said for _, said in told)


def test_flower_and_api_that_do_not_answer(installation: Installation) -> None:
    assert only(processes.api, installation)[0] is Level.WRONG
    assert only(processes.flower, replace(installation, flower=f"http://{NOWHERE}"))[0] is Level.WARNING


def test_what_hangs_on_something_wrong_is_not_looked_at(installation: Installation) -> None:
    """One finding for a PostgreSQL that is away, and not one for each thing that it would be asked."""
    with asking(installation, f"postgresql://postgres@{NOWHERE}/postgres") as away:
        told = list(command.look(away, command.EXAMINATION[1:2]))
    assert [finding.part for finding in told] == ["PostgreSQL"]


@pytest.mark.parametrize(("status", "level"), [(401, Level.OK), (200, Level.WARNING), (502, Level.WARNING)])
def test_flower_is_well_that_refuses_who_has_no_password(installation: Installation, status: int, level: Level) -> None:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        serving = threading.Thread(target=server.handle_request)
        serving.start()
        asked = replace(installation, flower=f"http://127.0.0.1:{server.server_port}")
        assert only(processes.flower, asked)[0] is level
        serving.join()


def test_command_says_all_and_ends_with_status_1(
    installation: Installation, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody runs here is wrong, what can be looked at is looked at, and all that isn't well has its advice."""
    own = installation.settings
    env = {"FOREBAY_DATABASE_URL": own.database_url, "FOREBAY_REDIS_URL": own.redis_url, **SECRETS}
    env |= {"FOREBAY_CATALOG": str(own.catalog), "FOREBAY_URL": installation.api}
    result = CliRunner().invoke(main, ["doctor", "--json"], env=env)
    assert result.exit_code == 1
    findings = [Finding(**{**one, "level": Level(one["level"])}) for one in json.loads(result.stdout)]
    assert [one.part for one in findings if one.level is Level.WRONG] == ["workers", "workers", "sweep", "API"]
    assert [bool(one.advice) for one in findings] == [one.level is not Level.OK for one in findings]
    lines = command.told(findings).splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("wrong  ") and "alpha has none" in line)
    assert lines[place + 1].strip() == "→ start one; if it doesn't stay, read its log"
