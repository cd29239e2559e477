"""Brings a database's tables to the newest version."""

from collections.abc import Sequence
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from db import backups, epochs
from db import session as db_session

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(database_url: str) -> Sequence[str]:
    """Runs the migrations that are missing. Idempotent; several at once wait for each other.

    Returns the statements that an administrator has yet to run before the database can be backed up.
    """
    engine = db_session.open_engine(database_url, pool_size=1, statement_timeout_s=600)
    config = _config()
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            if not epochs.current(connection, {}):
                epochs.begin(connection, {})  # with all the time it takes; whoever starts has less
            backups.make_role(connection)
            return backups.missing(connection)
    finally:
        engine.dispose()


def revision(database_url: str) -> str | None:
    """The revision of the database's tables; None when it has none of ours."""
    engine = db_session.open_engine(database_url, pool_size=1)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


def knows(revision: str) -> bool:
    """Whether this code can bring tables of that revision to its own."""
    return revision in {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
