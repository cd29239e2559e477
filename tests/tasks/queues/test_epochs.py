"""The epoch: a database that has gone back is noticed, one that hasn't is left alone."""

import shutil
import subprocess
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner
from sqlalchemy import text
from structlog.testing import capture_logs

from cli.launcher import embedded
from cli.operator.migrate import migrate as migrate_command
from db import epochs as rows
from db import migrate
from db import session as db_session
from db.session import Sessions
from tasks.jobs.lifecycle import Status
from tasks.keys import Caller
from tasks.queues import epochs
from tasks.streams import stream
from tests import tables
from tests.support import databases, dumps, platform, workers
from tests.support.post import Post
from tests.tasks.sweep.sweeping import made, sweep
from workers import app

OURS = "forebay:stream:of-a-job"


@pytest.fixture
def redis_with_more(sessions: Sessions, client: redis.Redis) -> redis.Redis:
    """That knows of the database's epoch, and has a stream."""
    epochs.settle(sessions, [client])
    client.set(OURS, "x")
    return client


def forgotten(client: redis.Redis) -> bool:
    return not client.exists(OURS)


def come_from_another_time(client: redis.Redis) -> None:
    client.hset(epochs.KEY, "id", str(uuid.uuid4()))


def test_database_that_goes_on_keeps_what_redis_has(
    sessions: Sessions, caller: Caller, redis_with_more: redis.Redis
) -> None:
    """However often it is looked at, and whatever is tidied up in it."""
    running = tables.running(sessions, caller)
    with sessions.kw["bind"].connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for tidied in ("VACUUM FREEZE epochs", "VACUUM FULL epochs"):
            connection.execute(text(tidied))
            epochs.settle(sessions, [redis_with_more])
    assert not forgotten(redis_with_more)
    assert tables.column(sessions, running.job_id, "attempt") == 1


def test_redis_that_knows_of_no_epoch_keeps_what_it_has(sessions: Sessions, client: redis.Redis) -> None:
    """An installation that was brought to this version goes on in the middle of its streams."""
    client.set(OURS, "x")
    epochs.settle(sessions, [client])
    assert not forgotten(client)


def test_copy_of_a_database_is_another_one(postgres_url: str, sessions: Sessions, tmp_path: Path) -> None:
    """Also on the same server; it says so once, and the one that it was made of doesn't."""
    dumps.dump(postgres_url, tmp_path / "dump")
    with databases.beside(postgres_url, "copied") as url:
        dumps.restore(url, tmp_path / "dump")
        with databases.pool(url) as engine:
            copied = db_session.open_sessions(engine)
            with copied.begin() as session:
                assert rows.current(session) is None
                begun, _ = rows.begin(session)
            with copied.begin() as session:
                found = rows.current(session)
                assert found
                assert found.id == begun.id
    with sessions.begin() as session:
        original = rows.current(session)
    assert original
    assert original.id != begun.id


def test_table_that_was_filled_anew_is_another_one(postgres_url: str, tmp_path: Path) -> None:
    """By a dump of its rows alone."""
    with databases.beside(postgres_url, "refilled") as url:
        migrate.upgrade(url)
        dumps.dump(url, tmp_path / "dump", "--data-only", "--table=epochs")
        with databases.pool(url) as engine:
            with engine.begin() as connection:
                connection.execute(text("DELETE FROM epochs"))
            dumps.restore(url, tmp_path / "dump")
            with db_session.open_sessions(engine).begin() as session:
                assert rows.current(session) is None


def test_server_whose_files_were_put_back_is_known_by_its_shorter_log(
    sessions: Sessions, caller: Caller, redis_with_more: redis.Redis
) -> None:
    """A snapshot is the same in all that the database knows of itself."""
    running = tables.running(sessions, caller)
    ended = tables.running(sessions, caller)
    with sessions.begin() as session:
        tables.put(session, ended.job_id, Status.SUCCEEDED, finished_at="2020-01-01T00:00:00Z")
    redis_with_more.hincrby(epochs.KEY, "log_bytes", 2**40)
    epochs.settle(sessions, [redis_with_more])
    assert forgotten(redis_with_more)
    attempts = [tables.column(sessions, job_id, "attempt") for job_id in (running.job_id, ended.job_id)]
    assert attempts == [1001, 1]
    epochs.settle(sessions, [redis_with_more])
    assert tables.column(sessions, running.job_id, "attempt") == 1001


def test_files_that_were_put_back_are_noticed(tmp_path: Path, client: redis.Redis) -> None:
    """A PostgreSQL's own, as by a snapshot of its disk, once it had written more."""
    files, snapshot = tmp_path / embedded.POSTGRES, tmp_path / "snapshot"
    with platform.running(tmp_path, platform.forgetful_postgres) as url:
        migrate.upgrade(url)
    subprocess.run(["cp", "-a", files, snapshot], check=True)
    with platform.running(tmp_path, platform.forgetful_postgres) as url, databases.pool(url) as engine:
        with engine.begin() as connection:
            connection.execute(text("SET LOCAL synchronous_commit = on"))  # else its log is written out a while later
            connection.execute(text("CREATE TABLE more AS SELECT generate_series(1, 100000)"))
        epochs.settle(db_session.open_sessions(engine), [client])
    client.set(OURS, "x")
    shutil.rmtree(files)
    snapshot.rename(files)
    with platform.running(tmp_path, platform.forgetful_postgres) as url, databases.pool(url) as engine:
        epochs.settle(db_session.open_sessions(engine), [client])
    assert forgotten(client)


def test_old_workers_number_is_no_ones_afterwards(
    sessions: Sessions, caller: Caller, redis_with_more: redis.Redis
) -> None:
    """One that wasn't stopped before the restore can neither write nor be mistaken for the next."""
    old = tables.running(sessions, caller)
    redis_with_more.hincrby(epochs.KEY, "log_bytes", 2**40)
    epochs.settle(sessions, [redis_with_more])
    tables.dispatch(sessions, old.job_id)
    new = tables.claim(sessions, old.job_id, worker_id="w2")
    assert new
    assert new.attempt > old.attempt + 1
    writer = stream.Writer(redis_with_more, new.job_id, new.attempt, ttl_s=60)
    assert writer.open() is stream.AppendResult.OK
    assert stream.Writer(redis_with_more, old.job_id, old.attempt, ttl_s=60).open() is stream.AppendResult.FENCED


def test_round_of_the_sweep_notices(upkeep: Sessions, redis_with_more: redis.Redis) -> None:
    """Where nobody was started anew."""
    come_from_another_time(redis_with_more)
    sweep(made(upkeep, redis_with_more, Post(redis_with_more)))
    assert forgotten(redis_with_more)


def test_worker_that_starts_notices(
    sessions: Sessions, upkeep: Sessions, redis_with_more: redis.Redis, postgres_url: str, redis_url: str
) -> None:
    """Before it takes a job."""
    shared = workers.settings(postgres_url, redis_url)
    worker = workers.made("w1", "alpha", sessions, upkeep, redis_with_more, shared, Post(redis_with_more), None)
    come_from_another_time(redis_with_more)
    started = app.begin(worker)
    assert forgotten(redis_with_more)
    app.finish(worker, started)


def test_redis_that_remembers_what_the_database_does_not_is_ahead(
    sessions: Sessions, caller: Caller, redis_with_more: redis.Redis
) -> None:
    """As with a dump from before there were epochs, whose first one the migration wrote."""
    running = tables.running(sessions, caller)
    come_from_another_time(redis_with_more)
    for _ in range(2):
        epochs.settle(sessions, [redis_with_more])
        assert tables.column(sessions, running.job_id, "attempt") == 1001
    assert forgotten(redis_with_more)


def test_copy_beside_the_original_is_not_driven_out_again(
    postgres_url: str, sessions: Sessions, caller: Caller, redis_with_more: redis.Redis, tmp_path: Path
) -> None:
    """On one Redis each would drop what the other has, for ever. An operator's word ends it."""
    dumps.dump(postgres_url, tmp_path / "dump")
    running = tables.running(sessions, caller)
    told: dict[redis.Redis, str] = {}
    with databases.beside(postgres_url, "copied") as url, databases.pool(url) as engine:
        dumps.restore(url, tmp_path / "dump")
        epochs.settle(db_session.open_sessions(engine), [redis_with_more])
        redis_with_more.set(OURS, "the copy's")
        with capture_logs() as logs:
            for _ in range(2):
                epochs.settle(sessions, [redis_with_more], told)
        assert [line["event"] for line in logs] == ["epoch_replaced"]
        assert not forgotten(redis_with_more)
        assert tables.column(sessions, running.job_id, "attempt") == 1
    done = CliRunner().invoke(migrate_command, ["--database-url", postgres_url, "--restored"])
    assert done.exit_code == 0, done.output
    epochs.settle(sessions, [redis_with_more], told)
    assert forgotten(redis_with_more)
    assert not told


def test_epoch_begins_once_however_many_notice(
    sessions: Sessions, caller: Caller, redis_with_more: redis.Redis
) -> None:
    """All at the same time, as when everything starts after a restore."""
    running = tables.running(sessions, caller)
    together = threading.Barrier(4)

    def notice() -> None:
        together.wait()
        epochs.settle(sessions, [redis_with_more])

    redis_with_more.hincrby(epochs.KEY, "log_bytes", 2**40)
    with ThreadPoolExecutor(4) as processes:
        for done in [processes.submit(notice) for _ in range(4)]:
            done.result()
    assert tables.column(sessions, running.job_id, "attempt") == 1001


@pytest.mark.parametrize("note", [{"id": "no id"}, {"id": b"\xff", "log_bytes": "x"}, {"log_bytes": "none"}])
def test_note_that_cannot_be_read_is_another_epochs(
    sessions: Sessions, redis_with_more: redis.Redis, note: dict[str, str | bytes]
) -> None:
    """And keeps nobody from starting."""
    redis_with_more.hset(epochs.KEY, mapping=note)
    epochs.settle(sessions, [redis_with_more])
    assert forgotten(redis_with_more) == ("id" in note)
    with sessions.begin() as session:
        known = rows.current(session)
    assert known
    assert redis_with_more.hget(epochs.KEY, "id") == str(known.id).encode()


def test_redis_that_refuses_is_not_called_out_of_reach(sessions: Sessions, redis_with_more: redis.Redis) -> None:
    """Its reason is told, once."""
    redis_with_more.set(epochs.KEY, "no hash")
    told: dict[redis.Redis, str] = {}
    with capture_logs() as logs:
        for _ in range(2):
            epochs.settle(sessions, [redis_with_more], told)
    assert [line["event"] for line in logs] == ["redis_refused"]
    assert "WRONGTYPE" in logs[0]["error"]


def test_redis_out_of_reach_is_left_for_the_next_time(sessions: Sessions, redis_with_more: redis.Redis) -> None:
    """And keeps nobody from starting."""
    nowhere = stream.connect("redis://127.0.0.1:1", timeout_s=0.1, max_connections=1)
    come_from_another_time(redis_with_more)
    told: dict[redis.Redis, str] = {}
    with capture_logs() as logs:
        for _ in range(2):
            epochs.settle(sessions, [nowhere, redis_with_more], told)
    assert [line["event"] for line in logs].count("redis_unreachable") == 1
    assert forgotten(redis_with_more)
