"""Tables of whichever version."""

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from db import revisions


def moved(connection: Connection, revision: str) -> None:
    """Brings the tables to this version, from whichever."""
    config = Config()
    config.set_main_option("script_location", str(revisions.MIGRATIONS))
    config.attributes["connection"] = connection
    go = command.upgrade if revision > (MigrationContext.configure(connection).get_current_revision() or "") else None
    (go or command.downgrade)(config, revision)
