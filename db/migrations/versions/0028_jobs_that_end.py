"""Jobs are removed when they ended long ago, and tenants with all they have"""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


# Made before the migration, where that can be done without stopping who writes (`db.migrate`).
INDEXES = {
    "jobs_ended": "ON jobs (finished_at) WHERE parent_id IS NULL AND finished_at IS NOT NULL",
    "idempotency_keys_of_job": "ON idempotency_keys (job_id)",
}


def upgrade() -> None:
    op.add_column("tenants", sa.Column("suspended_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("tenants", sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True))
    for name, of in INDEXES.items():
        # Asked first: IF NOT EXISTS would lock the table all the same, and wait for who waits for `tenants`.
        if op.get_bind().scalar(sa.text("SELECT to_regclass(:name) IS NULL"), {"name": name}):
            op.execute(f"CREATE INDEX {name} {of}")


def downgrade() -> None:
    op.drop_column("tenants", "erased_at")
    op.drop_column("tenants", "suspended_at")
    op.drop_index("idempotency_keys_of_job", "idempotency_keys")
    op.drop_index("jobs_ended", "jobs")
