"""The documents of a collection that are stored in part, which its searches leave out"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A document was stored whole or not at all until now: none that waits has chunks.
    op.execute("UPDATE documents SET chunks = NULL, tokens = NULL WHERE status = 'pending' AND chunks IS NOT NULL")
    op.create_index(
        "documents_in_part",
        "documents",
        ["collection_id"],
        unique=False,
        postgresql_where=sa.text("status = 'pending' AND chunks IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("documents_in_part", table_name="documents")
