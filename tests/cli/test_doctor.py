"""`forebay doctor`: what is well, and what is found once it is broken."""

import datetime as dt
import json
import socket
import subprocess
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
from cli.operator.doctor import brokers, children, command, jobs, machine, postgres, processes
from cli.operator.doctor.finding import Check, Finding, Installation, Level, ok
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
    postgres.backups,
    postgres.clock,
    postgres.transactions,
    postgres.room_for_connections,
    brokers.reachable,
    brokers.memory,
    jobs.waiting,
    jobs.failing,
    jobs.webhooks,
    machine.models,
]


@pytest.mark.parametrize("check", WELL, ids=lambda check: check.__name__)
def test_what_is_well_is_ok(check: Check, installation: Installation) -> None:
    assert {level for level, _ in found(check, installation)} == {Level.OK}


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


def test_workers_that_are_there_silent_or_missing(installation: Installation, sessions: Sessions) -> None:
    tables.worker(sessions, "alpha@here")
    tables.worker(sessions, "alpha@gone")
    tables.silence(sessions, "alpha@gone", 2 * tables.LEASE_S)
    told = found(jobs.workers, installation)
    assert [level for level, _ in told] == [Level.OK, Level.WRONG, Level.WARNING]
    assert "alpha: 1, with 2 of 2 slots free" in told[0][1]
    assert "control has none" in told[1][1]
    assert "alpha@gone" in told[2][1]


@pytest.mark.parametrize("status", [Status.QUEUED, Status.DISPATCHED])
def test_job_that_waits_for_long(
    installation: Installation, sessions: Sessions, caller: Caller, status: Status
) -> None:
    """In PostgreSQL, or in Redis for a worker that doesn't take it."""
    job = tables.submit(sessions, caller)
    with sessions.begin() as session:
        tables.put(session, job.id, status)
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


def test_catalogue_with_a_mistake(installation: Installation) -> None:
    installation.settings.catalog.write_text("[alpha")
    assert only(machine.models, installation)[0] is Level.WRONG


def test_file_of_a_model_that_is_missing(installation: Installation, sessions: Sessions) -> None:
    """It is wanted where a worker of the model runs, or is to run; not where only others do."""
    entry = catalogs.model("alpha", "llamacpp", "chat", context=64, slots=1, file="gone.gguf")
    installation.settings.catalog.write_text(entry)
    assert only(machine.files, installation)[0] is Level.WARNING
    tables.worker(sessions, "alpha@elsewhere:1.a")
    assert found(machine.files, installation) == []
    tables.worker(sessions, f"alpha@{socket.gethostname()}:1.a")
    assert only(machine.files, installation)[0] is Level.WRONG


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
    """A secret that only some machines have may be missing on this one; a mistake beside it is one everywhere."""
    own = installation.settings
    monkeypatch.setenv("FOREBAY_DATABASE_URL", own.database_url)
    monkeypatch.setenv("FOREBAY_REDIS_URL", own.redis_url)
    level, said = only(processes.settings, installation)
    assert (level, all(name in said for name in SECRETS)) == (Level.WARNING, True)
    monkeypatch.setenv("FOREBAY_LEASE_S", "soon")
    told = found(processes.settings, installation)
    assert [level for level, _ in told] == [Level.WRONG] * 3 + [Level.WARNING]
    assert all("FOREBAY_LEASE_S" in said for _, said in told[:3])
    monkeypatch.delenv("FOREBAY_LEASE_S")
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    assert only(processes.settings, installation)[0] is Level.OK


def test_what_a_process_of_its_own_says_last() -> None:
    with pytest.raises(children.Failed, match="ended with status 3"):
        children.answer("raise SystemExit(3)")
    with pytest.raises(children.Failed, match=r"^ValueError: odd$"):
        children.answer("raise ValueError('odd')")


def test_what_a_look_stumbles_over_costs_no_other(installation: Installation) -> None:
    def stumbles(_: Installation) -> Iterator[Finding]:
        yield ok("first", "seen")
        raise subprocess.TimeoutExpired("something", 1)

    told = list(command.look(installation, [command.Branch(stumbles), command.Branch(machine.models)]))
    assert [finding.level for finding in told] == [Level.OK, Level.WRONG, Level.OK]
    assert "timed out" in told[1].seen


def test_flower_and_api_that_do_not_answer(installation: Installation) -> None:
    assert only(processes.api, installation)[0] is Level.WRONG
    assert only(processes.flower, replace(installation, flower=f"http://{NOWHERE}"))[0] is Level.WARNING


def test_what_hangs_on_something_wrong_is_not_looked_at(installation: Installation) -> None:
    """One finding for a PostgreSQL that is away, and not one for each thing that it would be asked."""
    with asking(installation, f"postgresql://postgres@{NOWHERE}/postgres") as away:
        told = list(command.look(away, command.EXAMINATION[1:2]))
    assert [finding.part for finding in told] == ["PostgreSQL"]


@contextmanager
def answering(status: int, body: object = None) -> Iterator[str]:
    """The address of something that answers so, once."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        serving = threading.Thread(target=server.handle_request)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        serving.join()


@pytest.mark.parametrize(("status", "level"), [(401, Level.OK), (200, Level.WARNING), (502, Level.WARNING)])
def test_flower_is_well_that_refuses_who_has_no_password(installation: Installation, status: int, level: Level) -> None:
    with answering(status) as address:
        assert only(processes.flower, replace(installation, flower=address))[0] is level


def test_api_that_waits_for_its_tables(installation: Installation) -> None:
    parts = {"postgres": "ok", "schema": "run `forebay migrate`", "redis": "ok"}
    with answering(503, {"parts": parts}) as address:
        level, said = only(processes.api, replace(installation, api=address))
    assert (level, "schema: run `forebay migrate`" in said) == (Level.WRONG, True)


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
    assert {"workers", "sweep", "API"} <= {one.part for one in findings if one.level is Level.WRONG}
    assert [bool(one.advice) for one in findings] == [one.level is not Level.OK for one in findings]
    lines = CliRunner().invoke(main, ["doctor"], env=env).stdout.splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("wrong  ") and "alpha has none" in line)
    assert lines[place + 1].strip() == "→ start one; if it doesn't stay, read its log"
