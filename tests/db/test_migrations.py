"""Migrations, from tables with rows in them."""

import threading
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from cli.launcher import embedded
from db import migrate, revisions
from db import session as db_session
from tests.conftest import running
from tests.support import databases, waiting
from tests.support.revisions import moved

_OLD = "01900000-0000-7000-8000-00000000000{}"


def test_upgrade_again_changes_nothing(postgres_url: str) -> None:
    """Migrations can be run at every start."""
    migrate.upgrade(postgres_url)
    migrate.upgrade(postgres_url)


@pytest.mark.parametrize(
    ("held", "asked"),
    [
        ("LOCK TABLE jobs IN ROW EXCLUSIVE MODE", "LOCK TABLE jobs IN ROW EXCLUSIVE MODE NOWAIT"),
        ("LOCK TABLE tenants IN ROW SHARE MODE", "INSERT INTO tenants (id, name) VALUES (gen_random_uuid(), 'new')"),
    ],
)
def test_jobs_are_accepted_while_a_migration_waits(postgres_url: str, held: str, asked: str) -> None:
    """For whoever still writes, or reads, as a backup does; it is done once that has ended."""
    with databases.beside(postgres_url, "in_use") as url, databases.pool(url) as engine:
        with engine.begin() as connection:
            moved(connection, "0027")
        migrating = threading.Thread(target=migrate.upgrade, args=(url,))
        with engine.connect() as holder:
            holder.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            holder.execute(text(held))
            migrating.start()
            waiting.until(lambda: _waits(engine))
            with engine.begin() as other:
                other.execute(text("SET LOCAL lock_timeout = '10s'"))
                other.execute(text(asked))
        migrating.join()
        with engine.connect() as connection:
            assert revisions.read(connection).trouble is None


def _waits(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))


def test_migrations_are_one_line_numbered_as_their_files_are() -> None:
    """So that what the code knows can be told from the names alone, as processes do that hold no Alembic."""
    config = Config()
    config.set_main_option("script_location", str(revisions.MIGRATIONS))
    scripts = [*ScriptDirectory.from_config(config).walk_revisions()][::-1]
    assert tuple(script.revision for script in scripts) == revisions.known()
    assert [script.down_revision for script in scripts] == [None, *revisions.known()[:-1]]


def test_chunks_of_an_earlier_version_get_their_words(tmp_path: Path) -> None:
    """Also where the owner is held by row-level security, and back again."""
    one = _OLD.format(1)
    with running(tmp_path, embedded.postgres) as url:
        engine = db_session.open_engine(url, pool_size=1, statement_timeout_s=60)
        with engine.begin() as connection:
            moved(connection, "0020")
            for statement in (
                f"INSERT INTO tenants (id, name) VALUES ('{one}', 'old')",
                f"INSERT INTO collections (id, tenant_id, name, model) VALUES ('{one}', '{one}', 'old', 'm')",
                "INSERT INTO documents (id, tenant_id, collection_id, job_id, kind, bytes, status, chunks)"
                f" VALUES ('{one}', '{one}', '{one}', '{one}', 'text', 1, 'ready', 1)",
                "INSERT INTO chunks (document_id, number, tenant_id, collection_id, text, tokens, embedding)"
                f" VALUES ('{one}', 0, '{one}', '{one}', 'The foxes and QX-7741', 96, '[1,0]')",
            ):
                connection.execute(text(statement))
            moved(connection, "head")
            words = f"word_term('{one}', 'fox'), word_term('{one}', 'qx'), word_term('{one}', '7741')"
            assert connection.scalar(text(f"SELECT terms @> ARRAY[{words}] AND cardinality(terms) = 3 FROM chunks"))
            # Of usual length, with each word once: they weigh 1 each.
            assert connection.scalar(text("SELECT -(words <#> words) FROM chunks")) == 3
            moved(connection, "0020")
            assert connection.scalar(text("SELECT words::text FROM chunks")) == "'-7741':5 'fox':2 'qx':4"
        engine.dispose()


def _make_used(connection: Connection) -> None:
    """A job that has succeeded, one that expired, and one that is a child, was to start later, and failed before
    attempts were kept; with what they used."""
    connection.execute(text(f"INSERT INTO tenants (id, name) VALUES ('{_OLD.format(0)}', 'old')"))
    for number, status, started in ((1, "succeeded", "'2026-01-31 23:00:02Z'"), (2, "expired", "NULL")):
        connection.execute(
            text(f"""
            INSERT INTO jobs (id, tenant_id, key_id, type, stage, queue, model, status, lane, priority, seed,
                              metadata, created_at, started_at, finished_at)
            VALUES ('{_OLD.format(number)}', '{_OLD.format(0)}', 'k', 'chat', 'generate', 'a', 'a', '{status}',
                    'batch', 5, 0, '{{}}', '2026-01-31 23:00:00Z', {started}, '2026-02-01 00:30:00+01')""")
        )
        connection.execute(
            text(f"""
            INSERT INTO usage (job_id, tenant_id, model, prompt_tokens, completion_tokens, embedding_tokens)
            VALUES ('{_OLD.format(number)}', '{_OLD.format(0)}', 'a', {number}, 20, 3)""")
        )
    connection.execute(
        text(f"""
        INSERT INTO job_attempts (job_id, number, worker_id, model, stage, started_at, ended_at, how)
        VALUES ('{_OLD.format(1)}', 1, 'w', 'a', 'generate', '2026-01-31 23:00:02Z', '2026-01-31 23:00:05Z',
                'succeeded')""")
    )
    connection.execute(
        text(f"""
        INSERT INTO jobs (id, tenant_id, key_id, type, stage, queue, model, status, lane, priority, seed,
                          metadata, parent_id, error_code, created_at, run_at, started_at, finished_at)
        VALUES ('{_OLD.format(3)}', '{_OLD.format(0)}', 'k', 'chat', 'generate', 'a', 'a', 'failed', 'batch', 5,
                0, '{{}}', '{_OLD.format(1)}', 'engine_refused', '2026-01-31 22:00:00Z', '2026-01-31 23:00:00Z',
                '2026-01-31 23:00:01Z', '2026-01-31 23:00:06Z')""")
    )
    connection.execute(
        text(f"""
        INSERT INTO usage (job_id, tenant_id, model, prompt_tokens, completion_tokens, embedding_tokens)
        VALUES ('{_OLD.format(3)}', '{_OLD.format(0)}', 'a', 3, 20, 3)""")
    )


def test_ledger_keeps_every_row_of_usage(tmp_path: Path) -> None:
    """With what their jobs and attempts say of them, and back again."""
    with running(tmp_path, embedded.postgres) as url:
        engine = db_session.open_engine(url, pool_size=1, statement_timeout_s=60)
        with engine.begin() as connection:
            moved(connection, "0010")
            _make_used(connection)
            moved(connection, "head")
            *rows, child = connection.execute(text("SELECT * FROM ledger ORDER BY job_id")).all()
            moved(connection, "0010")
            usage = "SELECT prompt_tokens, completion_tokens, embedding_tokens FROM usage ORDER BY job_id"
            assert connection.execute(text(usage)).all() == [(1, 20, 3), (2, 20, 3), (3, 20, 3)]
        engine.dispose()
    told = [(row.kind, row.lane, row.status, row.key_id, row.prompt_tokens, row.embedding_tokens) for row in rows]
    assert told == [("chat", "batch", "succeeded", "k", 1, 3), ("chat", "batch", "expired", "k", 2, 3)]
    assert [str(row.period) for row in rows] == ["2026-01-01", "2026-01-01"]
    assert [(row.waited_s, row.ran_s, row.attempts) for row in rows] == [(2, 3, {"succeeded": 1}), (None, 0, {})]
    assert (str(child.parent_id), child.error_code) == (_OLD.format(1), "engine_refused")
    assert (child.waited_s, child.ran_s, child.attempts) == (1, 5, {})
