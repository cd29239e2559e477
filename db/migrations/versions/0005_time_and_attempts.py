"""When jobs may start and must have ended, the attempts they took, and the keys under which they were asked for"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_MOMENTS = ("run_at", "due_at", "expires_at")
# Each is looked through by every sweep, and holds only what may come due.
_INDEXES = {
    "jobs_scheduled": ("due_at", "status = 'scheduled'"),
    "jobs_expiring": ("expires_at", "expires_at IS NOT NULL AND started_at IS NULL AND finished_at IS NULL"),
    "jobs_with_deadline": (
        "started_at",
        "deadline_s IS NOT NULL AND started_at IS NOT NULL AND finished_at IS NULL",
    ),
}


def upgrade() -> None:
    for name in _MOMENTS:
        op.add_column("jobs", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.add_column("jobs", sa.Column("deadline_s", sa.Integer(), nullable=True))
    op.add_column("jobs", sa.Column("retry_of", sa.Uuid(), nullable=True))
    op.add_column("jobs", sa.Column("chances", sa.SmallInteger(), server_default="3", nullable=False))
    for name, (column, condition) in _INDEXES.items():
        op.create_index(name, "jobs", [column], unique=False, postgresql_where=sa.text(condition))
    op.create_table(
        "job_attempts",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column(
            "started_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("how", sa.Text(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "number"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        sa.PrimaryKeyConstraint("tenant_id", "key"),
    )
    op.create_index("idempotency_keys_by_age", "idempotency_keys", ["created_at"], unique=False)


def downgrade() -> None:
    op.drop_table("idempotency_keys")
    op.drop_table("job_attempts")
    op.execute("UPDATE jobs SET status = 'queued' WHERE status = 'scheduled'")
    for name in _INDEXES:
        op.drop_index(name, table_name="jobs")
    for name in ("chances", "retry_of", "deadline_s", *_MOMENTS):
        op.drop_column("jobs", name)
