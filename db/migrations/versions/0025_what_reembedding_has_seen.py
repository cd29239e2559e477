"""What a collection's next model has seen, kept with what it has made"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("reembeddings", sa.Column("seen", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column("reembeddings", sa.Column("unread", sa.Double(), server_default=sa.text("0"), nullable=False))


def downgrade() -> None:
    op.drop_column("reembeddings", "unread")
    op.drop_column("reembeddings", "seen")
