"""The ledger in place of usage: a row for each ended job that outlives it, with what bills and metrics need"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# A row of usage without its job can't be, but if one were, its tokens would be kept.
_KEEP = """
        INSERT INTO ledger
        SELECT u.job_id, j.parent_id, u.tenant_id, j.key_id, coalesce(j.type, 'unknown'), u.model,
               coalesce(j.lane, 'unknown'), coalesce(j.status, 'unknown'), j.error_code,
               coalesce(j.created_at, u.created_at), coalesce(j.finished_at, u.created_at),
               date_trunc('month', timezone('UTC', coalesce(j.finished_at, u.created_at)))::date,
               extract(epoch FROM j.started_at - coalesce(j.run_at, j.created_at)), NULL,
               coalesce(run.ran_s, extract(epoch FROM j.finished_at - j.started_at), 0),
               coalesce(run.attempts, '{}'),
               u.prompt_tokens, u.completion_tokens, u.embedding_tokens, 0, NULL
        FROM usage u
        LEFT JOIN jobs j ON j.id = u.job_id
        LEFT JOIN (
            SELECT job_id, sum(ran_s) AS ran_s, jsonb_object_agg(how, number) AS attempts
            FROM (
                SELECT job_id, how, count(*) AS number, sum(extract(epoch FROM ended_at - started_at)) AS ran_s
                FROM job_attempts WHERE how IS NOT NULL GROUP BY job_id, how
            ) ways
            GROUP BY job_id
        ) run ON run.job_id = u.job_id
    """


def upgrade() -> None:
    op.add_column("jobs", sa.Column("cached_tokens", sa.Integer(), nullable=True))
    op.add_column("jobs", sa.Column("first_token_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "ledger",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("period", sa.Date(), nullable=False),
        sa.Column("waited_s", sa.Float(), nullable=True),
        sa.Column("first_token_s", sa.Float(), nullable=True),
        sa.Column("ran_s", sa.Float(), nullable=False),
        sa.Column("attempts", postgresql.JSONB(), nullable=False),
        sa.Column("prompt_tokens", sa.Integer(), nullable=False),
        sa.Column("completion_tokens", sa.Integer(), nullable=False),
        sa.Column("embedding_tokens", sa.Integer(), nullable=False),
        sa.Column("cached_tokens", sa.Integer(), nullable=False),
        sa.Column("price", sa.Numeric(), nullable=True),
        sa.PrimaryKeyConstraint("job_id"),
    )
    op.execute(_KEEP)
    op.drop_table("usage")


def downgrade() -> None:
    op.create_table(
        "usage",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("prompt_tokens", sa.Integer(), nullable=False),
        sa.Column("completion_tokens", sa.Integer(), nullable=False),
        sa.Column("embedding_tokens", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        sa.PrimaryKeyConstraint("job_id"),
    )
    op.create_index("ix_usage_tenant_id", "usage", ["tenant_id"], unique=False)
    op.execute("""
        INSERT INTO usage (
            job_id, tenant_id, model, prompt_tokens, completion_tokens, embedding_tokens, created_at
        )
        SELECT job_id, tenant_id, model, prompt_tokens, completion_tokens, embedding_tokens, ended_at
        FROM ledger WHERE job_id IN (SELECT id FROM jobs)
    """)
    op.drop_table("ledger")
    op.drop_column("jobs", "first_token_at")
    op.drop_column("jobs", "cached_tokens")
