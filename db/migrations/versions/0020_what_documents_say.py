"""What is known of documents and chunks beside their text"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_NO_WORDS = sa.text("'{}'")
_NOTHING = sa.text("'[]'")


def upgrade() -> None:
    op.add_column("collections", sa.Column("language", sa.Text(), nullable=True))
    op.add_column("collections", sa.Column("chunk_tokens", sa.Integer(), nullable=True))
    op.add_column("collections", sa.Column("chunk_overlap", sa.Integer(), nullable=True))

    op.drop_constraint("documents_kind", "documents", type_="check")
    op.alter_column("documents", "collection_id", nullable=True)
    op.add_column("documents", sa.Column("external_id", sa.Text(), nullable=True))
    op.add_column("documents", sa.Column("replaces", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("documents", sa.Column("digest", sa.LargeBinary(), nullable=True))
    op.add_column("documents", sa.Column("charset", sa.Text(), nullable=True))
    op.add_column("documents", sa.Column("warnings", postgresql.JSONB(), server_default=_NOTHING, nullable=False))
    given = {name: sa.text(f"{name} IS NOT NULL") for name in ("external_id", "filename")}
    op.create_index("documents_of_contents", "documents", ["collection_id", "digest", "id"])
    for name, where in given.items():
        op.create_index(f"documents_of_{name}", "documents", ["collection_id", name], postgresql_where=where)
    op.add_column("document_texts", sa.Column("marks", postgresql.JSONB(), nullable=True))

    op.add_column("chunks", sa.Column("begins", sa.Integer(), nullable=True))
    op.add_column("chunks", sa.Column("ends", sa.Integer(), nullable=True))
    op.add_column("chunks", sa.Column("page", sa.Integer(), nullable=True))
    op.add_column("chunks", sa.Column("path", postgresql.ARRAY(sa.Text()), server_default=_NO_WORDS, nullable=False))
    op.add_column("chunks", sa.Column("header", sa.Text(), nullable=True))
    op.add_column("chunks", sa.Column("digest", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    for column in ("begins", "ends", "page", "path", "header", "digest"):
        op.drop_column("chunks", column)
    op.drop_column("document_texts", "marks")
    for index in ("contents", "external_id", "filename"):
        op.drop_index(f"documents_of_{index}", "documents")
    for column in ("external_id", "replaces", "digest", "charset", "warnings"):
        op.drop_column("documents", column)
    # Past row-level security, which would show the owner none of them.
    op.execute("ALTER TABLE documents NO FORCE ROW LEVEL SECURITY")
    op.execute("DELETE FROM documents WHERE collection_id IS NULL")
    op.execute("ALTER TABLE documents FORCE ROW LEVEL SECURITY")
    op.alter_column("documents", "collection_id", nullable=False)
    op.create_check_constraint("documents_kind", "documents", "kind IN ('text', 'markdown', 'html', 'pdf')")
    for column in ("language", "chunk_tokens", "chunk_overlap"):
        op.drop_column("collections", column)
