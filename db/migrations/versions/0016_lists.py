"""A tenant's jobs by status, type and model: lists that don't slow down as tables grow"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("jobs_of_tenant", table_name="jobs")
    op.create_index(
        "jobs_listed",
        "jobs",
        ["tenant_id", "status", "type", "model", "id"],
        postgresql_where=sa.text("parent_id IS NULL AND status NOT IN ('dispatched', 'running')"),
    )


def downgrade() -> None:
    op.drop_index("jobs_listed", table_name="jobs")
    op.create_index("jobs_of_tenant", "jobs", ["tenant_id", "id"], postgresql_where=sa.text("parent_id IS NULL"))
