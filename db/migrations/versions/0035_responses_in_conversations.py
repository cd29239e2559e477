"""A response's job names the conversation to which it adds what was said"""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("conversation_id", sa.Uuid(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "conversation_id")
