"""The second wall between tenants (`db.scope`), which migrations raise and no table of the code describes.

A dump that is restored without its owners and privileges, or a statement by hand, leaves it with a hole, or closed to
everybody.
"""

from collections.abc import Iterator

from sqlalchemy import Connection, text

TENANT_ROLE, SEARCH_ROLE = "forebay_tenant", "forebay_search"
# Behind the wall: the first role does everything there, with its tenant's rows.
WALLED = (
    "chunks",
    "collections",
    "conversation_items",
    "conversations",
    "document_texts",
    "documents",
    "file_parts",
    "file_pieces",
    "files",
    "reembedded",
    "reembeddings",
    "summary_steps",
    "uploads",
    "vector_stores",
    "word_counts",
)
# What the second role sees of all tenants' rows.
SEEN = {
    "chunks": {"document_id", "number", "tenant_id", "collection_id", "terms", "words"},
    "collections": {"id", "tenant_id", "dimensions", "counted", "second"},
    "documents": {"id", "tenant_id", "collection_id", "status", "chunks"},
    "file_parts": {"tenant_id", "store", "whole", "left_over", "touched_at"},
    "files": {"tenant_id", "expires_at"},
    "reembeddings": {"collection_id", "dimensions", "filled", "switched"},
    "uploads": {"tenant_id", "status", "expires_at"},
    "vector_stores": {"tenant_id", "emptied", "expires_at"},
    "word_counts": {"tenant_id", "collection_id", "term", "chunks"},
}
# True for those that run as the second role, whoever calls them.
FUNCTIONS = {
    "chunk_terms(uuid,tsvector)": False,
    "chunk_words(uuid,tsvector,double precision)": False,
    "count_words(uuid,text[])": True,
    "find_words(uuid,bigint[],bigint[],sparsevec,integer,uuid[],uuid[])": True,
    "word_term(uuid,text)": False,
}

_OPEN_TABLES = text("""
    SELECT relname FROM pg_class WHERE relnamespace = :schema AND relname = ANY (:walled)
    AND NOT (relrowsecurity AND relforcerowsecurity AND EXISTS (
        SELECT FROM pg_policy WHERE polrelid = pg_class.oid AND polname = 'own_rows' AND polcmd = '*'
        AND pg_get_expr(polqual, polrelid) LIKE '%app.tenant%'
        AND pg_get_expr(polwithcheck, polrelid) LIKE '%app.tenant%'))
    ORDER BY 1
""")
_POLICIES = text("""
    SELECT relname, polname,
           polname = 'all_rows' AND polcmd = 'r' AND polroles = ARRAY[to_regrole(:search)::oid] AS of_search
    FROM pg_policy JOIN pg_class ON pg_class.oid = polrelid
    WHERE relnamespace = :schema AND relname = ANY (:walled) AND polpermissive AND polname <> 'own_rows'
    ORDER BY 1, 2
""")
_UNREACHED = text("""
    SELECT relname, string_agg(needed, ', ' ORDER BY place)
    FROM pg_class, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) WITH ORDINALITY AS rights (needed, place)
    WHERE relnamespace = :schema AND relname = ANY (:walled)
    AND NOT has_table_privilege(to_regrole(:tenant)::oid, pg_class.oid, needed)
    GROUP BY 1 ORDER BY 1
""")
_SEEN = text("""
    SELECT relname, array_agg(attname::text) FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
    WHERE relnamespace = :schema AND relname = ANY (:walled) AND attnum > 0 AND NOT attisdropped
    AND has_column_privilege(to_regrole(:search)::oid, pg_class.oid, attnum, 'SELECT')
    GROUP BY 1 ORDER BY 1
""")
_FUNCTION = text("""
    SELECT prosecdef AS definer, proowner = to_regrole(:search) AS of_search,
           has_function_privilege(to_regrole(:tenant)::oid, oid, 'EXECUTE') AS reached,
           has_function_privilege('public', oid, 'EXECUTE') AS of_all
    FROM pg_proc WHERE oid = to_regprocedure(:named)
""")


def holes(connection: Connection, schema: int) -> list[str]:
    """What lets a tenant's documents be seen by others should a query forget whose they are, and what keeps everybody
    from them; each in a line. Both roles must be there. Raises SQLAlchemy's errors."""
    return [*_tables(connection, schema), *_rights(connection, schema), *_functions(connection)]


def close(connection: Connection) -> None:
    """Lets only the first role call the functions that run as the second. Idempotent.

    Whoever restores a dump without being a superuser gives a function away before its rights are set, and PostgreSQL
    says nothing of those that he may not set any more. Raises SQLAlchemy's errors.
    """
    for named, seeing in FUNCTIONS.items():
        found = connection.execute(_FUNCTION, _asked(0) | {"named": named}).one_or_none() if seeing else None
        if found and found.of_search and (found.of_all or not found.reached):
            connection.execute(text(f"SET LOCAL ROLE {SEARCH_ROLE}"))
            connection.execute(text(f"REVOKE ALL ON FUNCTION {named} FROM PUBLIC"))
            connection.execute(text(f"GRANT EXECUTE ON FUNCTION {named} TO {TENANT_ROLE}"))
            connection.execute(text("RESET ROLE"))


def _asked(schema: int) -> dict[str, object]:
    return {"schema": schema, "walled": list(WALLED), "tenant": TENANT_ROLE, "search": SEARCH_ROLE}


def _tables(connection: Connection, schema: int) -> Iterator[str]:
    for table in connection.execute(_OPEN_TABLES, _asked(schema)).scalars():
        yield f"table {table} has lost its row-level security: enabled, forced, and the policy own_rows"
    policies = connection.execute(_POLICIES, _asked(schema)).all()
    for table, name, of_search in policies:
        if not of_search:
            yield f"table {table} has a policy that isn't ours: {name}"
    for table in sorted(SEEN.keys() - {table for table, _, of_search in policies if of_search}):
        yield f"table {table} has lost the policy all_rows, by which {SEARCH_ROLE} finds rows"


def _rights(connection: Connection, schema: int) -> Iterator[str]:
    for table, rights in connection.execute(_UNREACHED, _asked(schema)):
        yield f"role {TENANT_ROLE} lacks {rights} on {table}"
    seen = {table: set(columns) for table, columns in connection.execute(_SEEN, _asked(schema))}
    for table in WALLED:
        should, does = SEEN.get(table, set()), seen.get(table, set())
        if should - does:
            yield f"role {SEARCH_ROLE} lacks SELECT ({', '.join(sorted(should - does))}) on {table}"
        if does - should:
            yield f"role {SEARCH_ROLE} may read what it should not see: {', '.join(sorted(does - should))} of {table}"


def _functions(connection: Connection) -> Iterator[str]:
    for named, seeing in FUNCTIONS.items():
        found = connection.execute(_FUNCTION, _asked(0) | {"named": named}).one_or_none()
        if found is None:
            yield f"function {named} is missing"
            continue
        if seeing and not (found.definer and found.of_search):
            yield f"function {named} doesn't run as {SEARCH_ROLE}: it should be its owner, with SECURITY DEFINER"
        if seeing and found.of_all:
            yield f"function {named} may be called by everybody; only {TENANT_ROLE} should"
        if not found.reached:
            yield f"function {named} may not be called by {TENANT_ROLE}"
        if not seeing and found.definer:
            yield f"function {named} runs as its owner; it should run as who calls it"
