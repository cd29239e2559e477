"""What a batch is beyond its job"""

import datetime as dt

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def _moment(name: str) -> sa.Column[dt.datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=True)


def upgrade() -> None:
    op.create_table(
        "batches",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("input_file_id", sa.Uuid(), nullable=False),
        sa.Column("completion_window", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("output_kept_s", sa.Integer(), nullable=True),
        sa.Column("lines", sa.Integer(), server_default="0", nullable=False),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("errors", sa.JSON(), nullable=True),
        sa.Column("ending", sa.Text(), nullable=True),
        _moment("in_progress_at"),
        _moment("ending_at"),
        _moment("finalizing_at"),
        _moment("ended_at"),
        sa.Column("output_file_id", sa.Uuid(), nullable=True),
        sa.Column("error_file_id", sa.Uuid(), nullable=True),
        sa.Column("totals", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id"),
    )
    op.create_index("batches_listed", "batches", ["tenant_id", "job_id"])
    op.create_index("batches_expiring", "batches", ["expires_at"], postgresql_where=sa.text("ending IS NULL"))
    op.create_index(
        "batches_ending",
        "batches",
        ["job_id"],
        postgresql_where=sa.text("ending IS NOT NULL AND ended_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_table("batches")
