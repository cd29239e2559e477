"""A job's queue and its model by their names, whose key asked for it by which request, and whose child it is"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_NEW = {
    "key_id": sa.Text,
    "request_id": sa.Text,
    "parent_id": sa.Uuid,
    "place": sa.Integer,
    "label": sa.Text,
}


def upgrade() -> None:
    op.alter_column("jobs", "model", new_column_name="queue")
    op.alter_column("jobs", "shown_model", new_column_name="model")
    op.alter_column("job_inputs", "handed", new_column_name="stage_input")
    for name, kind in _NEW.items():
        op.add_column("jobs", sa.Column(name, kind(), nullable=True))
    op.create_index(
        "jobs_of_parent",
        "jobs",
        ["parent_id", "place"],
        unique=False,
        postgresql_where=sa.text("parent_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("jobs_of_parent", table_name="jobs")
    for name in _NEW:
        op.drop_column("jobs", name)
    op.alter_column("job_inputs", "stage_input", new_column_name="handed")
    op.alter_column("jobs", "model", new_column_name="shown_model")
    op.alter_column("jobs", "queue", new_column_name="model")
