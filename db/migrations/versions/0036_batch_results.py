"""The order in which a batch's lines came to their ends"""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "batch_results",
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "number"),
        sa.UniqueConstraint("batch_id", "place", name="batch_results_place"),
    )


def downgrade() -> None:
    op.drop_table("batch_results")
