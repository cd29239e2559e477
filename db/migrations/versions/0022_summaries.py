"""Steps of summaries that were taken, and the order in which documents' summaries came"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

ROLE = "forebay_tenant"


def upgrade() -> None:
    op.create_table(
        "summary_steps",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "digest"),
    )
    op.create_index("summary_steps_used", "summary_steps", ["tenant_id", "used_at"])
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON summary_steps TO {ROLE}")
    op.execute("ALTER TABLE summary_steps ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE summary_steps FORCE ROW LEVEL SECURITY")
    own = "tenant_id = nullif(current_setting('app.tenant', true), '')::uuid"
    op.execute(f"CREATE POLICY own_rows ON summary_steps USING ({own}) WITH CHECK ({own})")
    op.create_table(
        "summary_results",
        sa.Column("summary_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("summary_id", "number"),
        sa.UniqueConstraint("job_id", name="summary_results_job"),
    )
    op.alter_column("documents", "job_id", nullable=True)


def downgrade() -> None:
    # Past row-level security, which would show the owner none of them.
    op.execute("ALTER TABLE documents NO FORCE ROW LEVEL SECURITY")
    op.execute("DELETE FROM documents WHERE job_id IS NULL")
    op.execute("ALTER TABLE documents FORCE ROW LEVEL SECURITY")
    op.alter_column("documents", "job_id", nullable=False)
    op.drop_table("summary_results")
    op.drop_table("summary_steps")
