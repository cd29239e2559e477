"""Stages of a job on several models, and the vectors a job gives"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("shown_model", sa.Text(), nullable=True))
    op.execute("UPDATE jobs SET shown_model = model")
    op.alter_column("jobs", "shown_model", nullable=False)
    op.add_column("jobs", sa.Column("embedding_tokens", sa.Integer(), nullable=True))
    op.add_column("job_inputs", sa.Column("handed", sa.JSON(), nullable=True))
    op.add_column("usage", sa.Column("embedding_tokens", sa.Integer(), server_default="0", nullable=False))
    op.create_table(
        "job_vectors",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("dimensions", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id"),
    )
