"""`forebay doctor` and what is ours: workers, jobs, settings, addresses, and the machine."""

import datetime as dt
import socket
import uuid
from dataclasses import replace
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from cli.operator.doctor import children, jobs, machine, processes
from cli.operator.doctor.finding import Installation, Level
from db.session import Sessions
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.keys import Caller
from tasks.limits.spent import Spent
from tasks.streams.transcript import Transcript
from tests import tables
from tests.cli.doctor.looks import NOWHERE, SECRETS, answering, found, only
from tests.support import catalogs


def test_workers_that_are_there_silent_or_missing(installation: Installation, sessions: Sessions) -> None:
    tables.worker(sessions, "alpha@here")
    tables.worker(sessions, "alpha@gone")
    tables.silence(sessions, "alpha@gone", 2 * tables.LEASE_S)
    ended = f"alpha@{socket.gethostname()}:{2**22 + 1}.c0ffee"  # no process has such a number
    tables.worker(sessions, ended)
    tables.silence(sessions, ended, 2 * tables.LEASE_S)
    told = found(jobs.workers, installation)
    assert [level for level, _ in told] == [Level.OK, Level.WRONG, Level.WARNING]
    assert "alpha: 1, with 2 of 2 slots free" in told[0][1]
    assert "control has none" in told[1][1]
    assert "alpha@gone" in told[2][1]
    assert ended not in told[2][1]


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


def test_flower_and_api_that_do_not_answer(installation: Installation) -> None:
    assert only(processes.api, installation)[0] is Level.WRONG
    assert only(processes.flower, replace(installation, flower=f"http://{NOWHERE}"))[0] is Level.WARNING


@pytest.mark.parametrize(("status", "level"), [(401, Level.OK), (200, Level.WARNING), (502, Level.WARNING)])
def test_flower_is_well_that_refuses_who_has_no_password(installation: Installation, status: int, level: Level) -> None:
    with answering(status) as address:
        assert only(processes.flower, replace(installation, flower=address))[0] is level


def test_api_that_waits_for_its_tables(installation: Installation) -> None:
    parts = {"postgres": "ok", "schema": "run `forebay migrate`", "redis": "ok"}
    with answering(503, {"parts": parts}) as address:
        level, said = only(processes.api, replace(installation, api=address))
    assert (level, "schema: run `forebay migrate`" in said) == (Level.WRONG, True)
