"""A batch's output file has a size at most, and which lines have no room in it is known"""

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("batches", sa.Column("full_from", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("batches", "full_from")
