"""Where a database's tables differ from those that the code describes.

The code's tables are made once more, as temporary ones of the same database, and PostgreSQL's own words for both are
compared: an expression, a partial index or a generated column reads the same only if it is the same. What was added by
hand and breaks nothing isn't told.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import Connection, MetaData, Row, text

from db import walls

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


class _Description(NamedTuple):
    """Tables of one schema, in PostgreSQL's words."""

    tables: set[str]
    columns: dict[tuple[str, str], Row[Any]]
    indexes: list[Row[Any]]
    constraints: list[Row[Any]]


def find(connection: Connection, wanted: MetaData) -> list[str]:
    """Each difference in a line. To be called in a transaction that is then rolled back. Raises SQLAlchemy's errors.

    A user who may not make temporary tables is told of `walls.holes` only.
    """
    schema = connection.execute(text("SELECT current_schema()::regnamespace::oid")).scalar_one()
    is_there = _describe(connection, schema)
    holes = walls.holes(connection, schema)
    if not connection.execute(_MAY_COMPARE).scalar_one():
        return holes
    connection.execute(text("SELECT set_config('search_path', 'pg_temp, ' || current_setting('search_path'), true)"))
    wanted.create_all(connection, checkfirst=False)
    should_be = _describe(connection, connection.execute(text("SELECT pg_my_temp_schema()")).scalar_one())
    return [*_compared(is_there, should_be), *holes]


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
