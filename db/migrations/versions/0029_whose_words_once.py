"""Whose chunks are asked for is worked out once for each search by words, not for each chunk"""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

ROLE = "forebay_search"
_TENANT = "nullif(current_setting('app.tenant', true), '')::uuid"


def upgrade() -> None:
    _make(f"(SELECT {_TENANT})")


def downgrade() -> None:
    _make(_TENANT)


def _make(tenant: str) -> None:
    """As its owner, who may make things in this schema only for as long as that takes."""
    bind = op.get_bind()
    schema = bind.scalar(sa.text("SELECT quote_ident(current_schema())"))
    path = bind.scalar(sa.text("SELECT current_setting('search_path')"))
    op.execute(f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {ROLE}")
    _set("search_path", f"{schema}, {path}")  # "$user" is another for the owner
    op.execute(f"SET LOCAL ROLE {ROLE}")
    op.execute(_FUNCTION.format(tenant=tenant))
    op.execute("RESET ROLE")
    _set("search_path", path)
    op.execute(f"REVOKE CREATE ON SCHEMA {schema} FROM {ROLE}")


def _set(name: str, value: str) -> None:
    op.get_bind().execute(sa.text("SELECT set_config(:name, :value, true)"), {"name": name, "value": value})


# See 0021, whose function it is.
_FUNCTION = """
    CREATE OR REPLACE FUNCTION find_words(collection uuid, any_of bigint[], all_of bigint[], asked sparsevec,
                                          depth integer, hidden uuid[], among uuid[])
    RETURNS TABLE (document_id uuid, number integer, points float8)
    STABLE PARALLEL SAFE SECURITY DEFINER ROWS 50 SET plan_cache_mode = force_custom_plan
    BEGIN ATOMIC
        SELECT found.document_id, found.number, -(found.words <#> asked) FROM (
            SELECT chunks.document_id, chunks.number, chunks.words FROM chunks
            WHERE (chunks.terms && any_of OR chunks.terms @> all_of) AND chunks.tenant_id = {tenant}
            AND chunks.collection_id IS NOT DISTINCT FROM collection
            AND chunks.document_id <> ALL (hidden) AND (among IS NULL OR chunks.document_id = ANY (among))
            LIMIT 20000) AS found
        ORDER BY 3 DESC, 1, 2 LIMIT depth;
    END
"""
