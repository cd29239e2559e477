"""Files, the parts they came in, and what is kept of those in pieces"""

import datetime as dt

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

ROLE = "forebay_tenant"
TABLES = ("files", "uploads", "file_parts", "file_pieces")


def _moment(name: str, nullable: bool = False, now: bool = True) -> sa.Column[dt.datetime]:
    return sa.Column(
        name, sa.DateTime(timezone=True), server_default=sa.text("now()") if now else None, nullable=nullable
    )


def upgrade() -> None:
    op.create_table(
        "files",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        _moment("created_at"),
        _moment("expires_at", nullable=True, now=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("id", "tenant_id"),
    )
    op.create_index("files_listed", "files", ["tenant_id", "id"])
    op.create_index(
        "files_expiring", "files", ["tenant_id", "expires_at"], postgresql_where=sa.text("expires_at IS NOT NULL")
    )
    op.create_table(
        "uploads",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("mime_type", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("kept_s", sa.Integer(), nullable=True),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        _moment("created_at"),
        _moment("expires_at", now=False),
        sa.Column("file_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("id", "tenant_id"),
    )
    op.create_index("uploads_expiring", "uploads", ["tenant_id", "expires_at"])
    _create_parts()
    for table in TABLES:
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {ROLE}")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        own = "tenant_id = nullif(current_setting('app.tenant', true), '')::uuid"
        op.execute(f"CREATE POLICY own_rows ON {table} USING ({own}) WITH CHECK ({own})")


def _create_parts() -> None:
    op.create_table(
        "file_parts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("store", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("whole", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("left_over", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        _moment("created_at"),
        _moment("touched_at"),
        sa.Column("upload_id", sa.Uuid(), nullable=True),
        sa.Column("file_id", sa.Uuid(), nullable=True),
        sa.Column("place", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["file_id", "tenant_id"], ["files.id", "files.tenant_id"]),
        sa.ForeignKeyConstraint(["upload_id", "tenant_id"], ["uploads.id", "uploads.tenant_id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("id", "tenant_id"),
    )
    op.create_index("file_parts_of_tenant", "file_parts", ["tenant_id"], postgresql_include=["bytes"])
    op.create_index(
        "file_parts_unsettled",
        "file_parts",
        ["tenant_id", "touched_at"],
        postgresql_where=sa.text("left_over OR NOT whole"),
    )
    op.create_index(
        "file_parts_of_file", "file_parts", ["file_id", "place"], postgresql_where=sa.text("file_id IS NOT NULL")
    )
    op.create_index(
        "file_parts_of_upload", "file_parts", ["upload_id"], postgresql_where=sa.text("upload_id IS NOT NULL")
    )
    op.create_table(
        "file_pieces",
        sa.Column("part_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["part_id", "tenant_id"], ["file_parts.id", "file_parts.tenant_id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("part_id", "number"),
    )
    op.execute("ALTER TABLE file_pieces ALTER COLUMN data SET STORAGE EXTERNAL")


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
