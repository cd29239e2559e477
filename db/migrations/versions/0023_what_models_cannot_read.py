"""How much of a document its model can't read"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("documents", sa.Column("unread", sa.REAL(), nullable=True))
    op.add_column("collections", sa.Column("unread", sa.REAL(), nullable=True))


def downgrade() -> None:
    op.drop_column("collections", "unread")
    op.drop_column("documents", "unread")
