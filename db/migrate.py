"""Brings a database's tables to this version's, and sees to it that they are those."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg.errors import DeadlockDetected, InsufficientPrivilege, LockNotAvailable
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from db import differences, epochs, prerequisites, revisions, tables, walls
from db import session as db_session
from db.revisions import Standing

# Long enough for one whose machine has much to do: it sends a heartbeat a second.
_ALIVE = text("SELECT count(*) FROM workers WHERE beat_at > clock_timestamp() - interval '15 s'")
_LOCK = text("SELECT pg_try_advisory_lock(hashtext('forebay.migrate'))")
_LOCKED_BY = text(
    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
    " AND objid = (hashtext('forebay.migrate')::bigint & 4294967295)::oid"
)
_CUT_OFF = text("SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
_TABLES = (*tables.metadata.tables, "alembic_version")

_LOCKED_S = 1  # all who want the table wait behind us; a request does so for two seconds
_AGAIN_S = 0.5
_PATIENCE_S = 600.0


class Refused(Exception):
    """Why this version can't have its tables in this database; the text is for people."""


class RightsMissing(Refused):
    """This user may not do all that is needed; `statements` are for an administrator to run in this database."""

    def __init__(self, user: str, database: str, statements: Sequence[str]) -> None:
        super().__init__(
            f"{user} may not do all that is needed in the database {database}: `forebay migrate` prints what an"
            " administrator has to run there"
        )
        self.statements = tuple(statements)


class TablesDiffer(Refused):
    """The migrations have all run, and yet the tables are others; each of `differences` says where in a line."""

    def __init__(self, differences: Sequence[str]) -> None:
        lines = "".join(f"\n  {difference}" for difference in differences)
        super().__init__(f"all migrations have run, and the tables aren't what they make:{lines}")
        self.differences = tuple(differences)


def upgrade(
    database_url: str, *, alone: bool = False, waits: Callable[[int | None], None] = lambda _: None
) -> Sequence[str]:
    """Runs the migrations that are missing, then compares the tables. Idempotent; several at once wait for each other.

    Tables that a newer version has made are left as they are where they are good for this one too, so that both can be
    started side by side; `alone` refuses them all the same. Nothing is changed while workers live whose version
    couldn't go on with the tables that this one makes. `waits` is told once, where another migrates, the process id
    that its connection has in PostgreSQL.

    Returns the statements that an administrator has yet to run before the database can be backed up. Raises `Refused`,
    which says what to do, and SQLAlchemy's errors.
    """
    engine = db_session.open_engine(database_url, pool_size=2, statement_timeout_s=600)
    try:
        with _alone(engine, waits) as watching:
            standing = _standing(engine)
            _refuse(watching, standing, alone)
            if standing.behind:
                _make_indexes(watching, standing)
                _migrate(engine)
            return _look_after(engine, standing)
    finally:
        engine.dispose()


@contextmanager
def _alone(engine: Engine, waits: Callable[[int | None], None]) -> Iterator[Connection]:
    """A connection whose statements are transactions of their own, while nobody else migrates.

    The lock is asked for again and again: a statement that waited for it would hold up indexes that are made meanwhile.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.detach()  # with the connection the lock and the limit go
        connection.execute(text("SET statement_timeout = 0"))
        if not connection.scalar(_LOCK):
            waits(connection.scalar(_LOCKED_BY))
            while not connection.scalar(_LOCK):
                time.sleep(_AGAIN_S)
        with _explained(connection):
            yield connection


def _standing(engine: Engine) -> Standing:
    """How the tables stand. Raises `RightsMissing` where this user may not do what is left to do with them."""
    with engine.begin() as connection:
        readable = prerequisites.readable(connection, _TABLES)
        standing = revisions.read(connection) if readable else Standing(None, None)
        missing = []
        if standing.behind:
            missing = prerequisites.make(connection, prerequisites.TO_MIGRATE)
            missing += prerequisites.handing_over(connection, _TABLES)
        missing += prerequisites.make(connection, prerequisites.TO_RUN)
        if missing:
            missing += prerequisites.make(connection, prerequisites.TO_DUMP)
            raise RightsMissing(*_whose(connection), missing)
    return standing


def _refuse(connection: Connection, standing: Standing, alone: bool) -> None:
    """Raises `Refused` where this version can't work with the tables, or one that runs couldn't with this version's."""
    if standing.newer and (standing.trouble or alone):
        raise Refused(f"{standing.made_by_newer}: start that version, or go back to a backup of before")
    if standing.revision and standing.revision < revisions.COMPATIBLE_FROM:
        alive = connection.execute(_ALIVE).scalar_one()
        if alive:
            raise Refused(
                f"{alive} of the workers of an earlier version run, at revision {standing.revision}, and couldn't go on"
                " with this one's tables: stop all processes of that version, then migrate"
            )


def _make_indexes(connection: Connection, standing: Standing) -> None:
    """Those that missing migrations have under `INDEXES`, while the version before may write. Idempotent.

    Of tables that no running version could work with nothing is made: the migrations do it.
    """
    if standing.revision is None or standing.revision < revisions.COMPATIBLE_FROM:
        return
    for script in ScriptDirectory.from_config(_config()).iterate_revisions("head", standing.revision):
        for name, of in getattr(script.module, "INDEXES", {}).items():
            if connection.scalar(_CUT_OFF, {"name": name}):
                connection.execute(text(f"DROP INDEX CONCURRENTLY {name}"))
            connection.execute(text(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} {of}"))


def _migrate(engine: Engine) -> None:
    """Runs the migrations, in one transaction. Who holds up a lock that it needs is let by, with all who queue behind.

    Raises `Refused` when a lock isn't to be had for minutes.
    """
    give_up_at = time.monotonic() + _PATIENCE_S
    while True:
        try:
            with engine.begin() as connection:
                connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCKED_S}s'"))
                config = _config()
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                if revisions.read(connection).compatible_from != revisions.COMPATIBLE_FROM:
                    revisions.note(connection)
                return
        except OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable | DeadlockDetected):
                raise
            if time.monotonic() > give_up_at:
                said = str(error.orig).partition("\n")[0]
                raise Refused(f"other transactions hold our tables and don't end ({said}): see pg_locks") from error
        time.sleep(_AGAIN_S)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(revisions.MIGRATIONS))
    return config


def _look_after(engine: Engine, standing: Standing) -> Sequence[str]:
    """What every start does, for which it needs to read and write only. Answers as `upgrade` does.

    Raises `TablesDiffer`.
    """
    with engine.begin() as connection:
        # With all the time it takes; whoever starts has less.
        if not standing.newer and not epochs.current(connection, {}):
            epochs.begin(connection, {})
        if not standing.newer:
            walls.close(connection)
    with engine.begin() as connection:
        for_dumps = prerequisites.make(connection, prerequisites.TO_DUMP)
    with engine.connect() as connection:
        if not standing.newer and (found := differences.find(connection, tables.metadata)):
            raise TablesDiffer(found)
    return for_dumps


@contextmanager
def _explained(connection: Connection) -> Iterator[None]:
    """What a migration may not do, though all that we know to be needed was there, is told in PostgreSQL's words."""
    user, database = _whose(connection)
    try:
        yield
    except ProgrammingError as error:
        if not isinstance(error.orig, InsufficientPrivilege):
            raise
        said = str(error.orig).partition("\n")[0]
        raise Refused(f"{user} may not do all that is needed in the database {database}: {said}") from error


def _whose(connection: Connection) -> tuple[str, str]:
    user, database = connection.execute(text("SELECT current_user, current_database()")).one()
    return str(user), str(database)
