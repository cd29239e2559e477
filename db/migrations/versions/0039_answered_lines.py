"""Lines of batches are known again in later batches, as long as the same model is served"""

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("workers", sa.Column("identity", sa.Text(), nullable=True))
    op.create_table(
        "model_changes",
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("queue", "since"),
    )
    op.create_table(
        "line_digests",
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Uuid(), nullable=False),
        sa.Column("noted_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.job_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("batch_id", "place"),
    )
    op.create_index("line_digests_digest", "line_digests", ["digest"])


def downgrade() -> None:
    op.drop_table("line_digests")
    op.drop_table("model_changes")
    op.drop_column("workers", "identity")
