"""Parents wait for their children: one child in each place, and indexes by which the last child's end is found"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_OF_A_PARENT = sa.text("parent_id IS NOT NULL")


def upgrade() -> None:
    _make_anew("jobs_of_parent", ["parent_id", "place"], unique=True, postgresql_where=_OF_A_PARENT)
    _make_anew("jobs_of_tenant", ["tenant_id", "id"], postgresql_where=sa.text("parent_id IS NULL"))
    unfinished = sa.text("parent_id IS NOT NULL AND finished_at IS NULL")
    op.create_index("jobs_unfinished_children", "jobs", ["parent_id"], postgresql_where=unfinished)
    op.create_index("jobs_waiting", "jobs", ["id"], postgresql_where=sa.text("status = 'waiting'"))


def downgrade() -> None:
    op.execute("UPDATE jobs SET status = 'queued' WHERE status = 'waiting'")
    op.drop_index("jobs_waiting", table_name="jobs")
    op.drop_index("jobs_unfinished_children", table_name="jobs")
    _make_anew("jobs_of_tenant", ["tenant_id", "id"])
    _make_anew("jobs_of_parent", ["parent_id", "place"], postgresql_where=_OF_A_PARENT)


def _make_anew(name: str, columns: list[str], **options: Any) -> None:
    op.drop_index(name, table_name="jobs")
    op.create_index(name, "jobs", columns, **options)
