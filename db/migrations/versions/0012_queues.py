"""A queue by its name wherever workers, turns and windows named it a model"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_NAMED = ("workers", "turns", "windows")


def upgrade() -> None:
    for table in _NAMED:
        op.alter_column(table, "model", new_column_name="queue")
    op.alter_column("windows", "lifted_at", new_column_name="promoted_at")


def downgrade() -> None:
    op.alter_column("windows", "promoted_at", new_column_name="lifted_at")
    for table in _NAMED:
        op.alter_column(table, "queue", new_column_name="model")
