"""Jobs that are erased once they have been answered, and those that are kept among the stored completions."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("store", sa.Boolean()))
    op.create_index(
        "jobs_to_erase", "jobs", ["finished_at"], postgresql_where=sa.text("store IS FALSE AND finished_at IS NOT NULL")
    )
    op.create_index("jobs_stored", "jobs", ["tenant_id", "id"], postgresql_where=sa.text("store"))


def downgrade() -> None:
    op.drop_index("jobs_stored", "jobs")
    op.drop_index("jobs_to_erase", "jobs")
    op.drop_column("jobs", "store")
