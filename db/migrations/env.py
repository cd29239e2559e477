"""Alembic's door: it is handed a connection by `db.migrate`, so that there is one way in."""

from alembic import context
from sqlalchemy import text

from db.tables import metadata

connection = context.config.attributes["connection"]
connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('forebay.migrate'))"))
context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
