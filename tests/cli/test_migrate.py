"""`forebay migrate`, and what `forebay up` says of a folder that it can't have."""

import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import pytest
from click import ClickException
from click.testing import CliRunner, Result
from sqlalchemy import make_url, text

from cli.launcher import embedded
from cli.main import main
from cli.operator import database as operated
from db import migrate, revisions
from tests.cli.test_up import run_up
from tests.support import databases
from tests.support.platform import ROOT, forgetful_postgres, free_port, running
from tests.support.revisions import moved


def run(url: str) -> Result:
    return CliRunner().invoke(main, ["migrate", "--database-url", url])


def administer(url: str, statements: Sequence[str]) -> None:
    """What an administrator runs, each statement by itself."""
    with databases.pool(url) as engine, engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        for statement in statements:
            connection.execute(text(statement))


def database(url: str, name: str, user: str) -> str:
    return make_url(url).set(database=name, username=user).render_as_string(False)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of these tests' own, with a user who owns nothing and may nothing."""
    with running(tmp_path_factory.mktemp("elsewhere"), forgetful_postgres) as url:
        administer(url, ("CREATE ROLE app LOGIN",))
        yield url


@pytest.fixture
def server(elsewhere: str) -> Iterator[str]:
    """That server, where no role of ours is yet, with an empty database."""
    administer(elsewhere, ("CREATE DATABASE jobs", "REVOKE TEMPORARY ON DATABASE jobs FROM PUBLIC"))
    yield elsewhere
    administer(elsewhere, ("DROP DATABASE jobs WITH (FORCE)", "DROP DATABASE IF EXISTS forebay WITH (FORCE)"))
    roles = ("forebay", "forebay_tenant", "forebay_search", "forebay_backup")
    administer(elsewhere, [f"DROP ROLE IF EXISTS {role}" for role in roles])


@pytest.fixture
def empty(postgres_url: str) -> Iterator[str]:
    """An empty database, whose user may everything, on the server that tests share."""
    with databases.beside(postgres_url, "migrated") as url:
        yield url


def test_user_without_rights_is_given_the_statements_to_have_run(server: str) -> None:
    """They are all that is on stdout; once an administrator has run them, the same command does the rest."""
    url = database(server, "jobs", "app")
    refused = run(url)
    assert refused.exit_code == 1
    statements = refused.stdout.splitlines()
    assert statements == [
        "GRANT TEMPORARY ON DATABASE jobs TO app;",
        "GRANT USAGE, CREATE ON SCHEMA public TO app WITH GRANT OPTION;",
        "CREATE EXTENSION vector;",
        "CREATE ROLE forebay_tenant NOLOGIN;",
        "GRANT forebay_tenant TO app;",
        "CREATE ROLE forebay_search NOLOGIN;",
        "GRANT forebay_search TO app WITH INHERIT FALSE;",
        "CREATE ROLE forebay_backup NOLOGIN BYPASSRLS;",
        "GRANT pg_read_all_data TO forebay_backup;",
    ]
    assert refused.stderr.startswith("Error: app may not do all that is needed in the database jobs")
    assert len(refused.stderr.splitlines()) == 1
    administer(database(server, "jobs", "postgres"), statements)
    done = run(url)
    assert (done.exit_code, done.output) == (0, "")
    assert run(url).exit_code == 0


def test_statements_of_the_page_are_enough(server: str) -> None:
    """For a user who is nothing but the owner of the database, and with backups."""
    page = (ROOT / "docs" / "operating.md").read_text()
    assert page.index("```sql") < page.index("forebay migrate")
    before, after = page.partition("```sql\n")[2].partition("```")[0].split("\\connect forebay\n")
    administer(server, [line.partition("--")[0].strip(" ;") for line in before.splitlines()])
    administer(database(server, "forebay", "postgres"), [after.strip(" ;\n")])
    done = run(database(server, "forebay", "forebay"))
    assert (done.exit_code, done.output) == (0, "")


def test_tables_of_somebody_else_are_to_be_handed_over(server: str) -> None:
    """As after a restore by an administrator."""
    administrator, url = database(server, "jobs", "postgres"), database(server, "jobs", "app")
    assert run(administrator).exit_code == 0
    administer(
        administrator,
        (
            "GRANT TEMPORARY ON DATABASE jobs TO app",
            "GRANT CREATE ON SCHEMA public TO app WITH GRANT OPTION",
            "GRANT USAGE ON SCHEMA public TO app WITH GRANT OPTION",
            "GRANT forebay_tenant TO app",
            "GRANT forebay_search TO app WITH INHERIT FALSE",
        ),
    )
    refused = run(url)
    statements = refused.stdout.splitlines()
    assert (refused.exit_code, statements[0]) == (1, "ALTER TABLE public.alembic_version OWNER TO app;")
    administer(administrator, statements)
    assert run(url).exit_code == 0


def test_user_who_only_reads_and_writes_finds_nothing_to_do(server: str) -> None:
    """Once an administrator has migrated: a start asks for no right that only migrations need."""
    administrator, url = database(server, "jobs", "postgres"), database(server, "jobs", "app")
    assert run(administrator).exit_code == 0
    administer(
        administrator,
        (
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO app",
            "GRANT forebay_tenant TO app",
            "GRANT forebay_search TO app WITH INHERIT FALSE",
        ),
    )
    done = run(url)
    assert (done.exit_code, done.output) == (0, "")


def test_tables_that_differ_are_told_with_a_status(empty: str) -> None:
    """After migrations that had nothing to do."""
    assert run(empty).exit_code == 0
    administer(empty, ("DROP INDEX jobs_waiting", "ALTER TABLE jobs ALTER seed TYPE bigint"))
    differ = run(empty)
    assert (differ.exit_code, differ.stdout) == (1, "")
    assert differ.stderr.splitlines()[1:] == [
        "  column jobs.seed is bigint NOT NULL; it should be integer NOT NULL",
        "  index jobs_waiting of jobs is missing; it should be USING btree (id) WHERE (status = 'waiting'::text)",
    ]


def test_newer_tables_are_left_alone(empty: str) -> None:
    """Without an error where they are said to be good for this version too, with one in words where not."""
    migrate.upgrade(empty)
    administer(empty, ("UPDATE alembic_version SET version_num = '9999'", "DROP TABLE rounds"))
    refused = run(empty)
    assert refused.exit_code == 1
    assert refused.stderr == (
        f"Error: the tables are at revision 9999, made by a newer version; this one knows {revisions.head()}:"
        " start that version, or go back to a backup of before\n"
    )
    said = f"made for 9999, good for code from {revisions.head()} on"
    administer(empty, (f"COMMENT ON TABLE alembic_version IS '{said}'",))
    assert (run(empty).exit_code, run(empty).output) == (0, "")


def test_workers_that_could_not_go_on_are_to_be_stopped_first(empty: str) -> None:
    """Those of a version whose code doesn't know what a migration demands, as long as they live."""
    with databases.pool(empty) as engine, engine.begin() as connection:
        moved(connection, "0025")
        connection.execute(text("INSERT INTO workers (id, queue, slots, free) VALUES ('one', 'a', 1, 1)"))
    refused = run(empty)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "1 of the workers of an earlier version run, at revision 0025" in refused.stderr
    administer(empty, ("UPDATE workers SET beat_at = now() - interval '1 hour'",))
    assert run(empty).exit_code == 0


def test_commands_on_a_database_that_was_not_migrated_say_so(empty: str) -> None:
    """And not which table they missed first."""
    told = CliRunner().invoke(main, ["usage", "--database-url", empty])
    assert told.exit_code == 1
    assert told.stderr == (
        f"Error: the database has no tables of ours, and revision {revisions.head()} is needed: run `forebay migrate`\n"
    )


def test_what_the_server_refuses_is_said_in_its_words(empty: str) -> None:
    """It does answer."""

    def take_too_long() -> None:
        with operated.opened(empty) as session:
            session.execute(text("SET LOCAL statement_timeout = '10ms'"))
            session.execute(text("SELECT pg_sleep(5)"))

    with pytest.raises(ClickException) as refused:
        take_too_long()
    assert str(refused.value) == "QueryCanceled 57014: canceling statement due to statement timeout"


def test_migration_that_waits_for_another_says_so(postgres_url: str) -> None:
    """With the number by which `pg_stat_activity` shows who it is."""
    with databases.pool(postgres_url) as engine, engine.connect() as other, ThreadPoolExecutor(1) as pool:
        lock = "(hashtext('forebay.migrate'))"
        pid = other.scalar(text(f"SELECT pg_backend_pid() FROM pg_advisory_lock{lock}"))
        told: Queue[int | None] = Queue()
        waiting = pool.submit(migrate.upgrade, postgres_url, waits=told.put)
        assert told.get(timeout=60) == pid
        other.execute(text(f"SELECT pg_advisory_unlock{lock}"))
        assert waiting.result() == []


@pytest.mark.parametrize("command", [["migrate"], ["usage"]])
def test_commands_want_no_pool_by_transaction(monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    monkeypatch.setenv("FOREBAY_DATABASE_POOLING", "transaction")
    monkeypatch.setenv("FOREBAY_DATABASE_URL", "postgresql://pool/forebay")
    refused = CliRunner().invoke(main, command)
    assert refused.exit_code == 2
    assert "FOREBAY_DATABASE_DIRECT_URL must be set" in refused.output


def test_server_that_does_not_answer_is_said_in_a_line(tmp_path: Path) -> None:
    refused = run(f"postgresql://x@/x?host={tmp_path}")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("Error: the database doesn't answer: ")


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """A data folder that a newer version has migrated, for code of this one too."""
    with running(tmp_path, forgetful_postgres) as url:
        migrate.upgrade(url)
        said = f"made for 9999, good for code from {revisions.head()} on"
        change = "UPDATE alembic_version SET version_num = '9999'"
        administer(url, (change, f"COMMENT ON TABLE alembic_version IS '{said}'"))
    return tmp_path


def up(folder: Path) -> "subprocess.CompletedProcess[str]":
    return run_up(folder, "--port", str(free_port()), "--flower-port", "0", "--models", "demo-chat")


def errors_of(done: "subprocess.CompletedProcess[str]") -> list[str]:
    """What it said beside what it was doing."""
    return [line for line in done.stderr.splitlines() if not line.startswith("forebay: ")]


def test_up_refuses_a_folder_of_a_newer_version_in_words(newer: Path) -> None:
    """At once: trying again wouldn't mend it."""
    done = up(newer)
    assert (done.returncode, done.stdout) == (1, "")
    assert errors_of(done) == [
        f"Error: the tables are at revision 9999, made by a newer version; this one knows {revisions.head()}:"
        " start that version, or go back to a backup of before"
    ]


def test_up_refuses_a_folder_of_another_postgresql_in_words(tmp_path: Path) -> None:
    """Whose files its own can't read."""
    (tmp_path / embedded.POSTGRES).mkdir()
    (tmp_path / embedded.POSTGRES / "PG_VERSION").write_text("99\n")
    done = up(tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    [error] = errors_of(done)
    assert "was made by PostgreSQL 99" in error
