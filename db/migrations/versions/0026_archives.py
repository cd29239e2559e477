"""Which archive a document came in"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("documents", sa.Column("archive", sa.Text(), nullable=True))
    op.add_column("documents", sa.Column("archive_id", sa.Uuid(), nullable=True))
    op.add_column("documents", sa.Column("archive_digest", sa.LargeBinary(), nullable=True))
    op.create_index(
        "documents_of_archive",
        "documents",
        ["collection_id", "archive"],
        postgresql_where=sa.text("archive IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("documents_of_archive", "documents")
    for name in ("archive_digest", "archive_id", "archive"):
        op.drop_column("documents", name)
