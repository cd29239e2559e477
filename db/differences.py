"""Where a database's tables differ from those that the code describes.

The code's tables are made once more, as temporary ones of the same database, and PostgreSQL's own words for both are
compared: an expression, a partial index or a generated column reads the same only if it is the same. What was added by
hand and breaks nothing isn't told.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import Connection, MetaData, Row, text

# Behind the second wall between tenants (`db.scope`), which the migrations raise and no table of the code describes.
WALLED = (
    "chunks",
    "collections",
    "document_texts",
    "documents",
    "reembedded",
    "reembeddings",
    "summary_steps",
    "word_counts",
)
FUNCTIONS = (
    "chunk_terms(uuid,tsvector)",
    "chunk_words(uuid,tsvector,double precision)",
    "count_words(uuid,text[])",
    "find_words(uuid,bigint[],bigint[],sparsevec,integer,uuid[],uuid[])",
    "word_term(uuid,text)",
)

_MAY_COMPARE = text("SELECT has_database_privilege(current_database(), 'TEMPORARY')")
_TABLES = text("SELECT relname FROM pg_class WHERE relnamespace = :schema AND relkind IN ('r', 'p')")
# A number by default keeps the cast to the type that its column had before a migration changed that: '0'::smallint.
_COLUMNS = text(r"""
    SELECT relname, attname, format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END
           || CASE attgenerated WHEN 's' THEN ' GENERATED AS ' WHEN 'v' THEN ' VIRTUAL AS ' ELSE '' END
           || coalesce(CASE attgenerated WHEN '' THEN ' DEFAULT ' ELSE '' END
                    || regexp_replace(pg_get_expr(adbin, adrelid), '^''(\d+)''\:\:\w+$', '\1'), '')
           || CASE attidentity WHEN '' THEN '' ELSE ' IDENTITY' END AS said,
           attnotnull AND adbin IS NULL AND attidentity = '' AS demanded
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum)
    WHERE relnamespace = :schema AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped
    ORDER BY relname, attnum
""")
_INDEXES = text("""
    SELECT owner.relname, own.relname AS name, CASE WHEN indisunique THEN 'UNIQUE ' ELSE '' END
           || substring(pg_get_indexdef(own.oid) FROM 'USING .*') AS said, indisvalid AS valid
    FROM pg_index JOIN pg_class AS own ON own.oid = indexrelid JOIN pg_class AS owner ON owner.oid = indrelid
    WHERE owner.relnamespace = :schema AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
    ORDER BY 1, 2
""")
_CONSTRAINTS = text("""
    SELECT relname, conname AS name, pg_get_constraintdef(pg_constraint.oid) AS said, convalidated AS valid
    FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid
    WHERE relnamespace = :schema AND contype IN ('c', 'f', 'p', 'u', 'x') ORDER BY 1, 2
""")
_OPEN_TABLES = text("""
    SELECT relname FROM pg_class WHERE relnamespace = :schema AND relname = ANY (:walled)
    AND NOT (relrowsecurity AND relforcerowsecurity AND EXISTS (
        SELECT FROM pg_policy WHERE polrelid = pg_class.oid AND polname = 'own_rows' AND polcmd = '*'
        AND pg_get_expr(polqual, polrelid) LIKE '%app.tenant%'
        AND pg_get_expr(polwithcheck, polrelid) LIKE '%app.tenant%'))
    ORDER BY 1
""")
_STRANGE_POLICIES = text("""
    SELECT relname, polname FROM pg_policy JOIN pg_class ON pg_class.oid = polrelid
    WHERE relnamespace = :schema AND relname = ANY (:walled) AND polpermissive AND polname <> 'own_rows'
    AND NOT (polname = 'all_rows' AND polcmd = 'r' AND polroles = ARRAY[to_regrole('forebay_search')::oid])
    ORDER BY 1, 2
""")


class _Description(NamedTuple):
    """Tables of one schema, in PostgreSQL's words."""

    tables: set[str]
    columns: dict[tuple[str, str], Row[Any]]
    indexes: list[Row[Any]]
    constraints: list[Row[Any]]


def find(connection: Connection, wanted: MetaData) -> list[str]:
    """Each difference in a line. To be called in a transaction that is then rolled back. Raises SQLAlchemy's errors.

    A user who may not make temporary tables is told of the walls and the functions only.
    """
    schema = connection.execute(text("SELECT current_schema()::regnamespace::oid")).scalar_one()
    is_there = _describe(connection, schema)
    walls = [*_walls(connection, schema), *_functions(connection)]
    if not connection.execute(_MAY_COMPARE).scalar_one():
        return walls
    connection.execute(text("SELECT set_config('search_path', 'pg_temp, ' || current_setting('search_path'), true)"))
    wanted.create_all(connection, checkfirst=False)
    should_be = _describe(connection, connection.execute(text("SELECT pg_my_temp_schema()")).scalar_one())
    return [*_compared(is_there, should_be), *walls]


def _describe(connection: Connection, schema: int) -> _Description:
    def ask(statement: Any) -> list[Row[Any]]:
        return list(connection.execute(statement, {"schema": schema}))

    columns = {(row.relname, row.attname): row for row in ask(_COLUMNS)}
    return _Description({row.relname for row in ask(_TABLES)}, columns, ask(_INDEXES), ask(_CONSTRAINTS))


def _compared(is_there: _Description, should_be: _Description) -> Iterator[str]:
    missing = should_be.tables - is_there.tables
    yield from (f"table {table} is missing" for table in sorted(missing))
    for (table, name), column in should_be.columns.items():
        found = is_there.columns.get((table, name))
        if table in missing:
            continue
        if found is None:
            yield f"column {table}.{name} is missing; it should be {column.said}"
        elif found.said != column.said:
            yield f"column {table}.{name} is {found.said}; it should be {column.said}"
    for (table, name), column in is_there.columns.items():
        if table in should_be.tables and (table, name) not in should_be.columns and column.demanded:
            yield f"column {table}.{name} isn't known to this version, and must be filled in every new row"
    for what, there, wanted in (
        ("index", is_there.indexes, should_be.indexes),
        ("constraint", is_there.constraints, should_be.constraints),
    ):
        valid = {(row.relname, row.said) for row in there if row.valid}
        for row in wanted:
            if row.relname not in missing and (row.relname, row.said) not in valid:
                yield f"{what} {row.name} of {row.relname} is missing; it should be {row.said}"


def _walls(connection: Connection, schema: int) -> Iterator[str]:
    """What lets a tenant's documents be seen by others should a query forget whose they are."""
    asked = {"schema": schema, "walled": list(WALLED)}
    for table in connection.execute(_OPEN_TABLES, asked).scalars():
        yield f"table {table} has lost its row-level security: enabled, forced, and the policy own_rows"
    for table, name in connection.execute(_STRANGE_POLICIES, asked):
        yield f"table {table} has a policy that isn't ours: {name}"


def _functions(connection: Connection) -> Iterator[str]:
    for named in FUNCTIONS:
        if not connection.execute(text("SELECT to_regprocedure(:named) IS NOT NULL"), {"named": named}).scalar_one():
            yield f"function {named} is missing"
