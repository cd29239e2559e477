"""Room for a collection's next vectors beside those that it has"""

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import VECTOR

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

ROLE = "forebay_tenant"
TABLES = ("reembeddings", "reembedded")


def upgrade() -> None:
    op.add_column("collections", sa.Column("second", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("chunks", sa.Column("context", sa.Text(), nullable=True))
    op.add_column("chunks", sa.Column("second_embedding", VECTOR(), nullable=True))
    op.alter_column("chunks", "embedding", nullable=True)
    op.execute("ALTER TABLE chunks ALTER second_embedding SET STORAGE MAIN")
    op.execute("GRANT SELECT (second) ON collections TO forebay_search")
    op.create_table(
        "reembeddings",
        sa.Column("collection_id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("dimensions", sa.Integer(), nullable=True),
        sa.Column("filled", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("switched", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.ForeignKeyConstraint(
            ["collection_id", "tenant_id"], ["collections.id", "collections.tenant_id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("collection_id"),
    )
    op.create_table(
        "reembedded",
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("collection_id", sa.Uuid(), nullable=False),
        sa.Column("chunks", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["document_id", "tenant_id"], ["documents.id", "documents.tenant_id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("document_id"),
    )
    op.create_index("reembedded_of_collection", "reembedded", ["collection_id", "document_id"])
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(TABLES)} TO {ROLE}")
    own = "tenant_id = nullif(current_setting('app.tenant', true), '')::uuid"
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY own_rows ON {table} USING ({own}) WITH CHECK ({own})")
    op.execute("GRANT SELECT (collection_id, dimensions, filled, switched) ON reembeddings TO forebay_search")
    op.execute("CREATE POLICY all_rows ON reembeddings FOR SELECT TO forebay_search USING (true)")


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
    # Past row-level security, which would show the owner none of them.
    op.execute("ALTER TABLE collections NO FORCE ROW LEVEL SECURITY")
    op.execute("DELETE FROM collections WHERE second")  # an earlier version would look for their vectors elsewhere
    op.execute("ALTER TABLE collections FORCE ROW LEVEL SECURITY")
    op.drop_column("chunks", "second_embedding")
    op.alter_column("chunks", "embedding", nullable=False)
    op.drop_column("chunks", "context")
    op.drop_column("collections", "second")
