"""Alembic's door: it is handed a connection by `db.migrate`, so that there is one way in."""

from alembic import context

from db.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
