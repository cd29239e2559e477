"""Turns between tenants: who had the last in a model's lane, and indexes by which chores take from each in turn"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_INDEXES = {
    "jobs_scheduled": ("due_at", "status = 'scheduled'"),
    "jobs_expiring": ("expires_at", "expires_at IS NOT NULL AND started_at IS NULL AND finished_at IS NULL"),
    "jobs_with_deadline": (
        "started_at",
        "deadline_s IS NOT NULL AND started_at IS NOT NULL AND finished_at IS NULL",
    ),
}


def upgrade() -> None:
    op.create_table(
        "turns",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("taken", sa.BigInteger(), nullable=False),
        sa.Column("aged_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("model", "lane", "tenant_id"),
    )
    _index("tenant_id")


def downgrade() -> None:
    _index()
    op.drop_table("turns")


def _index(*before: str) -> None:
    """Makes the indexes anew, with these columns before their own."""
    for name, (column, condition) in _INDEXES.items():
        op.drop_index(name, table_name="jobs")
        op.create_index(name, "jobs", [*before, column], unique=False, postgresql_where=sa.text(condition))
