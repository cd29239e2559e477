"""Webhooks that are deleted bit by bit, deliveries that are forgotten, and attempts that are never counted anew"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("webhook_endpoints", sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("webhook_deliveries", sa.Column("attempts_before", sa.Integer(), server_default="0", nullable=False))
    op.alter_column("webhook_deliveries", "attempts", type_=sa.Integer(), existing_nullable=False)
    op.create_index(
        "webhook_deliveries_ended",
        "webhook_deliveries",
        ["give_up_at"],
        unique=False,
        postgresql_where=sa.text("status <> 'pending'"),
    )


def downgrade() -> None:
    op.drop_index("webhook_deliveries_ended", "webhook_deliveries")
    op.alter_column("webhook_deliveries", "attempts", type_=sa.SmallInteger(), existing_nullable=False)
    op.drop_column("webhook_deliveries", "attempts_before")
    op.drop_column("webhook_endpoints", "deleted_at")
