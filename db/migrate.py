"""Brings a database's tables to this version's, and sees to it that they are those."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from alembic import command
from alembic.config import Config
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from db import backups, differences, epochs, prerequisites, revisions, tables
from db import session as db_session
from db.revisions import Standing

# Long enough for one whose machine has much to do: it sends a heartbeat a second.
_ALIVE = text("SELECT count(*) FROM workers WHERE beat_at > clock_timestamp() - interval '15 s'")
LOCK = text("SELECT pg_advisory_xact_lock(hashtext('forebay.migrate'))")


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


def upgrade(database_url: str, *, alone: bool = False) -> Sequence[str]:
    """Runs the migrations that are missing, then compares the tables. Idempotent; several at once wait for each other.

    Tables that a newer version has made are left as they are where they are good for this one too, so that both can be
    started side by side; `alone` refuses them all the same. Nothing is changed while workers live whose version
    couldn't go on with the tables that this one makes.

    Returns the statements that an administrator has yet to run before the database can be backed up. Raises `Refused`,
    which says what to do, and SQLAlchemy's errors.
    """
    engine = db_session.open_engine(database_url, pool_size=1, statement_timeout_s=600)
    try:
        with engine.begin() as connection, _explained(connection):
            connection.execute(LOCK)
            _prepare(connection)
            standing = revisions.read(connection)
            _refuse(connection, standing, alone)
            if not standing.newer:
                _migrate(connection)
                if not epochs.current(connection, {}):
                    epochs.begin(connection, {})  # with all the time it takes; whoever starts has less
            backups.make_role(connection)
            unmade = backups.missing(connection)
        with engine.connect() as connection:
            if not standing.newer and (found := differences.find(connection, tables.metadata)):
                raise TablesDiffer(found)
        return unmade
    finally:
        engine.dispose()


def _prepare(connection: Connection) -> None:
    missing = prerequisites.make(connection, [*tables.metadata.tables, "alembic_version"])
    if missing:
        raise RightsMissing(*_whose(connection), [*missing, *backups.missing(connection)])


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


def _migrate(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(revisions.MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    if revisions.read(connection).compatible_from != revisions.COMPATIBLE_FROM:
        revisions.note(connection)


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
