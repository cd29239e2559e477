"""What has expired is found by its time, whichever tenant's, and files in stores are counted from an index"""

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

ROLE = "forebay_search"  # sees where all tenants' rows are, not what they say
_SEEN = {
    "file_parts": "tenant_id, store, whole, left_over, touched_at",
    "files": "tenant_id, expires_at",
    "uploads": "tenant_id, status, expires_at",
    "vector_stores": "tenant_id, emptied, expires_at",
}
_BY_TENANT = {
    "file_parts_unsettled": ("file_parts", "touched_at", "left_over OR NOT whole"),
    "files_expiring": ("files", "expires_at", "expires_at IS NOT NULL"),
    "vector_stores_expiring": ("vector_stores", "expires_at", "expires_at IS NOT NULL AND NOT emptied"),
    "uploads_expiring": ("uploads", "expires_at", None),
}
_BY_TIME = {
    **{name: own for name, own in _BY_TENANT.items() if name != "uploads_expiring"},
    "uploads_expiring": ("uploads", "expires_at", "status = 'pending'"),
    "uploads_ended": ("uploads", "expires_at", "status <> 'pending'"),
}


def upgrade() -> None:
    for name, (table, _, _) in _BY_TENANT.items():
        op.drop_index(name, table)
    for name, (table, time, where) in _BY_TIME.items():
        _index(name, table, [time, "tenant_id"], where)
    for table, columns in _SEEN.items():
        op.execute(f"GRANT SELECT ({columns}) ON {table} TO {ROLE}")
        op.execute(f"CREATE POLICY all_rows ON {table} FOR SELECT TO {ROLE} USING (true)")
    op.create_index(
        "documents_of_files",
        "documents",
        ["collection_id", "status"],
        postgresql_where=sa.text("file_id IS NOT NULL"),
        postgresql_include=["tenant_id", "job_id", "error_code", "bytes"],
    )


def downgrade() -> None:
    op.drop_index("documents_of_files", "documents")
    for table, columns in _SEEN.items():
        op.execute(f"DROP POLICY all_rows ON {table}")
        op.execute(f"REVOKE SELECT ({columns}) ON {table} FROM {ROLE}")
    for name, (table, _, _) in _BY_TIME.items():
        op.drop_index(name, table)
    for name, (table, time, where) in _BY_TENANT.items():
        _index(name, table, ["tenant_id", time], where)


def _index(name: str, table: str, columns: list[str], where: str | None) -> None:
    op.create_index(name, table, columns, postgresql_where=None if where is None else sa.text(where))
