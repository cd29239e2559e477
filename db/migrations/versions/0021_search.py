"""Words of chunks by their collection's language"""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE chunks ALTER words DROP EXPRESSION")


def downgrade() -> None:
    op.drop_column("chunks", "words")
    op.execute(
        "ALTER TABLE chunks ADD words tsvector NOT NULL GENERATED ALWAYS AS (to_tsvector('english', text)) STORED"
    )
    op.execute("ALTER TABLE chunks ALTER words SET STORAGE MAIN")
