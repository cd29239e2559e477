"""Jobs are removed when they ended long ago, and tenants with all they have"""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "jobs_ended",
        "jobs",
        ["finished_at"],
        postgresql_where=sa.text("parent_id IS NULL AND finished_at IS NOT NULL"),
    )
    op.create_index("idempotency_keys_of_job", "idempotency_keys", ["job_id"])
    op.add_column("tenants", sa.Column("suspended_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("tenants", sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("tenants", "erased_at")
    op.drop_column("tenants", "suspended_at")
    op.drop_index("idempotency_keys_of_job", "idempotency_keys")
    op.drop_index("jobs_ended", "jobs")
