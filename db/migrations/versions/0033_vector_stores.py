"""Vector stores, documents that are made of kept files, and how each of them is cut"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

ROLE = "forebay_tenant"


def upgrade() -> None:
    op.create_table(
        "vector_stores",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("metadata", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_active_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_days", sa.Integer(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("emptied", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.ForeignKeyConstraint(["id", "tenant_id"], ["collections.id", "collections.tenant_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("vector_stores_listed", "vector_stores", ["tenant_id", "id"])
    op.create_index(
        "vector_stores_expiring",
        "vector_stores",
        ["tenant_id", "expires_at"],
        postgresql_where=sa.text("expires_at IS NOT NULL AND NOT emptied"),
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON vector_stores TO {ROLE}")
    op.execute("ALTER TABLE vector_stores ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE vector_stores FORCE ROW LEVEL SECURITY")
    own = "tenant_id = nullif(current_setting('app.tenant', true), '')::uuid"
    op.execute(f"CREATE POLICY own_rows ON vector_stores USING ({own}) WITH CHECK ({own})")
    op.add_column("documents", sa.Column("file_id", sa.Uuid(), nullable=True))
    op.add_column("documents", sa.Column("chunk_tokens", sa.Integer(), nullable=True))
    op.add_column("documents", sa.Column("chunk_overlap", sa.Integer(), nullable=True))
    op.create_foreign_key(
        "documents_of_kept_file",
        "documents",
        "files",
        ["file_id", "tenant_id"],
        ["id", "tenant_id"],
        ondelete="CASCADE",
    )
    op.create_index(
        "documents_of_file",
        "documents",
        ["file_id", "collection_id"],
        unique=True,
        postgresql_where=sa.text("file_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("documents_of_file", "documents")
    op.drop_constraint("documents_of_kept_file", "documents", type_="foreignkey")
    for column in ("chunk_overlap", "chunk_tokens", "file_id"):
        op.drop_column("documents", column)
    op.drop_table("vector_stores")
