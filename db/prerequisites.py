"""What the tables need of their server beside themselves: rights, an extension, roles. The one place that names them.

`forebay migrate` gets what it may; what it may not an administrator is told to run.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError


@dataclass(frozen=True, slots=True)
class Need:
    """A condition in SQL that must hold, and the statement that makes it hold."""

    met: str
    statement: str


def _role(name: str, *, inherited: bool) -> tuple[Need, Need]:
    """A role, and that this user may become it; unless it is `inherited`, only then may it do what the role may."""
    member = f"coalesce(pg_has_role(current_user, to_regrole('{name}')::oid, 'SET'), false)"
    plainly = f"pg_has_role(current_user, to_regrole('{name}')::oid, 'USAGE')"
    superuser = "(SELECT rolsuper FROM pg_roles WHERE rolname = current_user)"
    return (
        Need(f"to_regrole('{name}') IS NOT NULL", f"CREATE ROLE {name} NOLOGIN"),
        Need(
            member if inherited else f"{member} AND ({superuser} OR NOT {plainly})",
            f"GRANT {name} TO {{user}}{'' if inherited else ' WITH INHERIT FALSE'}",
        ),
    )


_NEEDS = (
    # What the comparison of tables is made in.
    Need("has_database_privilege(current_database(), 'TEMPORARY')", "GRANT TEMPORARY ON DATABASE {database} TO {user}"),
    # With the option: functions are handed to a role, which may make things here only for as long as that takes.
    Need(
        "has_schema_privilege(to_regnamespace('{schema}')::oid, 'USAGE') AND"
        " has_schema_privilege(to_regnamespace('{schema}')::oid, 'CREATE WITH GRANT OPTION')",
        "GRANT USAGE, CREATE ON SCHEMA {schema} TO {user} WITH GRANT OPTION",
    ),
    Need("EXISTS (SELECT FROM pg_extension WHERE extname = 'vector')", "CREATE EXTENSION vector"),
    *_role("forebay_tenant", inherited=True),  # keeps documents of tenants apart
    *_role("forebay_search", inherited=False),  # reads the index of words over all tenants' chunks
)
# Tables that somebody else has made, or restored.
_FOREIGN = text(
    "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(:schema) AND relkind IN ('r', 'p')"
    " AND EXISTS (SELECT FROM pg_class AS ours WHERE ours.relname = 'alembic_version'"
    " AND ours.relnamespace = to_regnamespace(:schema))"
    " AND relname = ANY (:tables) AND NOT pg_has_role(relowner, 'USAGE') ORDER BY 1"
)
_NAMES = text(
    "SELECT quote_ident(current_user), quote_ident(current_database()),"
    " quote_ident(coalesce(current_schema(), 'public'))"
)


def make(connection: Connection, tables: list[str]) -> list[str]:
    """Gets what is missing, each in a savepoint; the statements for an administrator, of what this user may not.

    They are to be run in this database. `tables` are those that are ours, once they are there. Idempotent. Raises
    SQLAlchemy's errors when the connection is lost.
    """
    user, database, schema = connection.execute(_NAMES).one()
    missing = []
    for need in _NEEDS:
        met, statement = (
            text.format(user=user, database=database, schema=schema) for text in (need.met, need.statement)
        )
        if not (_holds(connection, met) or _made(connection, statement, met)):
            missing.append(statement)
    foreign = connection.execute(_FOREIGN, {"schema": schema, "tables": tables}).scalars()
    return [*missing, *(f"ALTER TABLE {schema}.{table} OWNER TO {user}" for table in foreign)]


def _holds(connection: Connection, condition: str) -> bool:
    return bool(connection.execute(text(f"SELECT {condition}")).scalar_one())


def _made(connection: Connection, statement: str, met: str) -> bool:
    """Runs the statement. Roles are the whole server's: another database's migration may just have made it."""
    try:
        with connection.begin_nested():
            connection.execute(text(statement))
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
    return _holds(connection, met)
