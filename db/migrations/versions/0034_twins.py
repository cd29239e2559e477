"""Lines of batches that ask what an earlier line asks"""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "batch_twins",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("of_place", sa.Integer(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["batches.job_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "place"),
    )


def downgrade() -> None:
    op.drop_table("batch_twins")
