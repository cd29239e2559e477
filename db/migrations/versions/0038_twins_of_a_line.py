"""Twins are found by the line whose job answers them"""

from alembic import op

revision = "0038"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("batch_twins_of", "batch_twins", ["job_id", "of_place"])


def downgrade() -> None:
    op.drop_index("batch_twins_of", "batch_twins")
