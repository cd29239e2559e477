"""Brings a database's tables to the newest version."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from db import session as db_session

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(database_url: str) -> None:
    """Runs the migrations that are missing. Idempotent; several at once wait for each other."""
    engine = db_session.open_engine(database_url, pool_size=1, statement_timeout_s=600)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()
