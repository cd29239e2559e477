"""The migrations make the tables that the code describes."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from db import migrate, tables
from db.session import Sessions


def test_migrated_database_matches_the_models(sessions: Sessions) -> None:
    """Alembic finds nothing left to migrate. The vectors' indexes are made for whatever dimensions there are."""

    def ours(thing: object, name: str, *_: object) -> bool:
        return not name.startswith("chunks_embedding_")

    with sessions() as session:
        context = MigrationContext.configure(session.connection(), opts={"include_object": ours})
        assert compare_metadata(context, tables.metadata) == []


def test_upgrade_again_changes_nothing(postgres_url: str) -> None:
    """Migrations can be run at every start."""
    migrate.upgrade(postgres_url)
    migrate.upgrade(postgres_url)
