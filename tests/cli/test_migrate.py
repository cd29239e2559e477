"""`forebay migrate`, and what `forebay up` says of a folder that it can't have."""

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import make_url, text

from cli.launcher import embedded
from cli.main import main
from db import migrate, revisions
from tests.cli.test_up import run_up
from tests.support import databases
from tests.support.platform import forgetful_postgres, free_port, running


def run(url: str) -> Result:
    return CliRunner().invoke(main, ["migrate", "--database-url", url])


def administer(url: str, statements: Sequence[str]) -> None:
    """What an administrator runs, each statement by itself."""
    with databases.pool(url) as engine, engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        for statement in statements:
            connection.execute(text(statement))


def database(url: str, name: str, user: str) -> str:
    return make_url(url).set(database=name, username=user).render_as_string(False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A server of the test's own, where no role of ours is yet, with a user who owns nothing and may nothing."""
    with running(tmp_path, forgetful_postgres) as url:
        administer(
            url,
            (
                "CREATE ROLE app LOGIN",
                "CREATE DATABASE jobs",
                "REVOKE TEMPORARY ON DATABASE jobs FROM PUBLIC",
            ),
        )
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


def test_tables_that_differ_are_told_with_a_status(server: str) -> None:
    """After migrations that had nothing to do."""
    url = database(server, "jobs", "postgres")
    assert run(url).exit_code == 0
    administer(url, ("DROP INDEX jobs_waiting", "ALTER TABLE jobs ALTER seed TYPE bigint"))
    differ = run(url)
    assert (differ.exit_code, differ.stdout) == (1, "")
    assert differ.stderr.splitlines()[1:] == [
        "  column jobs.seed is bigint NOT NULL; it should be integer NOT NULL",
        "  index jobs_waiting of jobs is missing; it should be USING btree (id) WHERE (status = 'waiting'::text)",
    ]


def test_newer_tables_are_left_alone(server: str) -> None:
    """Without an error where they are said to be good for this version too, with one in words where not."""
    url = database(server, "jobs", "postgres")
    migrate.upgrade(url)
    administer(url, ("UPDATE alembic_version SET version_num = '9999'", "DROP TABLE rounds"))
    refused = run(url)
    assert refused.exit_code == 1
    assert refused.stderr == (
        f"Error: the tables are at revision 9999, made by a newer version; this one knows {revisions.head()}:"
        " start that version, or go back to a backup of before\n"
    )
    said = f"made for 9999, good for code from {revisions.head()} on"
    administer(url, (f"COMMENT ON TABLE alembic_version IS '{said}'",))
    assert (run(url).exit_code, run(url).output) == (0, "")


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


def test_up_refuses_a_folder_of_a_newer_version_in_words(newer: Path) -> None:
    """At once: trying again wouldn't mend it."""
    done = up(newer)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"Error: the tables are at revision 9999, made by a newer version; this one knows {revisions.head()}:"
        " start that version, or go back to a backup of before\n"
    )


def test_up_refuses_a_folder_of_another_postgresql_in_words(newer: Path) -> None:
    """Whose files its own can't read."""
    (newer / embedded.POSTGRES / "PG_VERSION").write_text("99\n")
    done = up(newer)
    assert (done.returncode, done.stdout) == (1, "")
    assert "was made by PostgreSQL 99" in done.stderr
    assert len(done.stderr.splitlines()) == 1
