"""Documents, behind row-level security"""

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import VECTOR
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ROLE = "forebay_tenant"
TABLES = ("collections", "documents", "document_texts", "chunks")


def upgrade() -> None:
    _make_role()
    op.create_table(
        "collections",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("dimensions", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tenant_id", "name", name="collections_name"),
        sa.UniqueConstraint("id", "tenant_id", name="collections_of_tenant"),
    )
    op.create_table(
        "documents",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("collection_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("metadata", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=True),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("chunks", sa.Integer(), nullable=True),
        sa.Column("tokens", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind IN ('text', 'markdown', 'html', 'pdf')", name="documents_kind"),
        sa.CheckConstraint("status IN ('pending', 'ready', 'failed')", name="documents_status"),
        sa.ForeignKeyConstraint(
            ["collection_id", "tenant_id"], ["collections.id", "collections.tenant_id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("id", "tenant_id", name="documents_and_tenant"),
    )
    op.create_index("documents_of_tenant", "documents", ["tenant_id", "id"], unique=False)
    op.create_index("documents_of_collection", "documents", ["collection_id", "id"], unique=False)
    op.create_index("documents_of_job", "documents", ["job_id"], unique=False)
    op.create_table(
        "document_texts",
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["document_id", "tenant_id"], ["documents.id", "documents.tenant_id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("document_id"),
    )
    op.create_table(
        "chunks",
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("collection_id", sa.Uuid(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.Column("embedding", VECTOR(), nullable=False),
        sa.Column(
            "words", postgresql.TSVECTOR(), sa.Computed("to_tsvector('english', text)", persisted=True), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["document_id", "tenant_id"], ["documents.id", "documents.tenant_id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("document_id", "number"),
    )
    op.create_index("chunks_of_collection", "chunks", ["collection_id"], unique=False)
    # What a search reads of every chunk stays in the row, where reading it costs half; the text goes out first.
    op.execute("ALTER TABLE chunks ALTER embedding SET STORAGE MAIN, ALTER words SET STORAGE MAIN")
    op.execute("ALTER TABLE chunks SET (toast_tuple_target = 4080)")
    op.execute(
        "CREATE INDEX chunks_embedding_384 ON chunks USING hnsw ((embedding::vector(384)) vector_cosine_ops)"
        " WHERE vector_dims(embedding) = 384"
    )
    _raise_the_wall()


def downgrade() -> None:
    # The role stays: other databases of the cluster may use it.
    for table in reversed(TABLES):
        op.drop_table(table)


def _make_role() -> None:
    """The role, and the right to become it. Roles are the whole cluster's: others may be making it at this moment."""
    op.execute(
        f"""
        DO $$
        BEGIN
            IF to_regrole('{ROLE}') IS NULL THEN
                BEGIN
                    CREATE ROLE {ROLE} NOLOGIN;
                EXCEPTION WHEN duplicate_object OR unique_violation THEN
                    NULL;
                END;
            END IF;
            IF NOT pg_has_role(current_user, '{ROLE}', 'SET') THEN
                BEGIN
                    EXECUTE format('GRANT {ROLE} TO %I', current_user);
                EXCEPTION WHEN unique_violation OR internal_error THEN
                    NULL;  -- the same grant from another database; if not, the next statement says so
                END;
            END IF;
            IF NOT pg_has_role(current_user, '{ROLE}', 'SET') THEN
                RAISE insufficient_privilege;
            END IF;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE insufficient_privilege USING MESSAGE = format(
                'row-level security needs a role that %I may not make; have an administrator run: '
                'CREATE ROLE {ROLE} NOLOGIN; GRANT {ROLE} TO %I', current_user, current_user);
        END $$
        """
    )


def _raise_the_wall() -> None:
    """Row-level security, for the tables' owner too; only a superuser who hasn't taken the role sees over it."""
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(TABLES)} TO {ROLE}")
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        own = "tenant_id = nullif(current_setting('app.tenant', true), '')::uuid"
        op.execute(f"CREATE POLICY own_rows ON {table} USING ({own}) WITH CHECK ({own})")
