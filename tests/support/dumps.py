"""A database dumped and restored as an operator does it, and compared row by row."""

import subprocess
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from cli.launcher import cluster
from db import scope
from db import session as db_session
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.limits.spent import Spent
from tests import shelves, tables
from tests.support import databases

# What `fill` leaves rows in.
FILLED = (
    "chunks", "collections", "document_texts", "documents", "epochs", "job_attempts", "job_outputs", "jobs", "keys",
    "ledger", "tenants", "word_counts",
)  # fmt: skip


def fill(url: str) -> None:
    """Two tenants, each with a job that has ended, one that runs, and a document in two chunks."""
    with databases.pool(url) as engine:
        sessions = db_session.open_sessions(engine)
        for name in ("ours", "theirs"):
            caller = tables.tenant(sessions, name)
            home = shelves.filled(sessions, caller, [f"{name} one", f"{name} two"], shelves.units(2))
            with sessions.begin() as session, scope.scope(session, caller.tenant_id):
                counted = "INSERT INTO word_counts VALUES (:home, 1, :tenant, 2)"
                session.execute(text(counted), {"home": home, "tenant": caller.tenant_id})
            tables.running(sessions, caller)
            ended = tables.running(sessions, caller)
            with sessions.begin() as session:
                tables.finish(
                    session,
                    ended.job_id,
                    ended.attempt,
                    ended.checkpoint,
                    Outcome(Status.SUCCEEDED, Spent(2, 1), {"text": name}),
                )


def dump(url: str, path: Path, *options: str) -> None:
    """`pg_dump`, in PostgreSQL's own format."""
    run("pg_dump", "--format=custom", f"--dbname={url}", f"--file={path}", *options)


def restore(url: str, path: Path, *options: str) -> None:
    """`pg_restore` into an empty database."""
    run("pg_restore", "--exit-on-error", f"--dbname={url}", *options, str(path))


def run(program: str, *options: str) -> None:
    done = subprocess.run([cluster.programs() / program, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def rows(url: str) -> dict[str, list[str]]:
    """Every row of every table there is, as text, by the table's name."""
    with databases.pool(url) as engine, engine.connect() as connection:
        return {table: _rows(connection, table) for table in _tables(connection)}


def definitions(url: str) -> dict[str, list[Any]]:
    """Policies, indexes, owners and who may do what: what a dump must bring too."""
    with databases.pool(url) as engine, engine.connect() as connection:
        return {name: [*connection.execute(text(query)).all()] for name, query in _DEFINITIONS.items()}


def _tables(connection: Connection) -> list[str]:
    found = text("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
    return sorted(connection.scalars(found))


def _rows(connection: Connection, table: str) -> list[str]:
    return sorted(connection.scalars(text(f"SELECT row_to_json(t)::text FROM {table} AS t")))


_DEFINITIONS = {
    "policies": "SELECT tablename, policyname, roles::text, cmd, qual, with_check FROM pg_policies ORDER BY 1, 2",
    "walls": "SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class"
    " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1",
    "indexes": "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
    "functions": "SELECT proname, proowner::regrole::text, prosecdef FROM pg_proc"
    " WHERE pronamespace = 'public'::regnamespace AND proname ~ 'words|terms|term' ORDER BY 1",
    "grants": "SELECT table_name, grantee, privilege_type FROM information_schema.role_table_grants"
    " WHERE table_schema = 'public' AND grantee LIKE 'forebay%' ORDER BY 1, 2, 3",
}
