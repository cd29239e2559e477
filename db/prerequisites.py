"""What the tables need of their server beside themselves: rights, an extension, roles. The one place that names them.

`forebay migrate` gets what it may; what it may not an administrator is told to run.
"""

from collections.abc import Sequence
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


TO_MIGRATE = (
    # What the comparison of tables is made in.
    Need("has_database_privilege(current_database(), 'TEMPORARY')", "GRANT TEMPORARY ON DATABASE {database} TO {user}"),
    # With the option: functions are handed to a role, which may make things here only for as long as that takes.
    Need(
        "has_schema_privilege(to_regnamespace('{schema}')::oid, 'USAGE') AND"
        " has_schema_privilege(to_regnamespace('{schema}')::oid, 'CREATE WITH GRANT OPTION')",
        "GRANT USAGE, CREATE ON SCHEMA {schema} TO {user} WITH GRANT OPTION",
    ),
    Need("EXISTS (SELECT FROM pg_extension WHERE extname = 'vector')", "CREATE EXTENSION vector"),
)
TO_RUN = (
    *_role("forebay_tenant", inherited=True),  # keeps documents of tenants apart
    *_role("forebay_search", inherited=False),  # reads the index of words over all tenants' chunks
)
# The role that dumps are made as: it reads every table, and row-level security hides no row from it. Who dumps without
# it gets an error, or, with row-level security turned on, a dump without any documents.
BACKUP_ROLE = "forebay_backup"
TO_DUMP = (
    Need(f"to_regrole('{BACKUP_ROLE}') IS NOT NULL", f"CREATE ROLE {BACKUP_ROLE} NOLOGIN BYPASSRLS"),
    Need(
        f"coalesce((SELECT rolbypassrls FROM pg_roles WHERE rolname = '{BACKUP_ROLE}'), true)",
        f"ALTER ROLE {BACKUP_ROLE} BYPASSRLS",
    ),
    Need(
        "EXISTS (SELECT FROM pg_auth_members WHERE roleid = 'pg_read_all_data'::regrole AND inherit_option"
        f" AND member = to_regrole('{BACKUP_ROLE}'))",
        f"GRANT pg_read_all_data TO {BACKUP_ROLE}",
    ),
)

# Tables that somebody else has made, or restored.
_FOREIGN = """
SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(:schema) AND relkind IN ('r', 'p')
AND EXISTS (SELECT FROM pg_class AS ours WHERE ours.relname = 'alembic_version'
    AND ours.relnamespace = to_regnamespace(:schema))
AND relname = ANY (:tables) AND NOT {held} ORDER BY 1
"""
_OWNED = text(_FOREIGN.format(held="pg_has_role(relowner, 'USAGE')"))
_READ = text(_FOREIGN.format(held="has_table_privilege(oid, 'SELECT')"))
_NAMES = text(
    "SELECT quote_ident(current_user) AS user, quote_ident(current_database()) AS database,"
    " quote_ident(coalesce(current_schema(), 'public')) AS schema"
)


def make(connection: Connection, needs: Sequence[Need]) -> list[str]:
    """Gets what is missing, each in a savepoint; the statements for an administrator, of what this user may not.

    They are to be run in this database. Idempotent. Raises SQLAlchemy's errors when the connection is lost.
    """
    names = connection.execute(_NAMES).one()._asdict()
    missing = []
    for need in needs:
        met, statement = need.met.format(**names), need.statement.format(**names)
        if not (_holds(connection, met) or _made(connection, statement, met)):
            missing.append(statement)
    return missing


def missing(connection: Connection, needs: Sequence[Need]) -> list[str]:
    """The statements of those that don't hold, as `make` gives them. Changes nothing."""
    names = connection.execute(_NAMES).one()._asdict()
    return [need.statement.format(**names) for need in needs if not _holds(connection, need.met.format(**names))]


def handing_over(connection: Connection, tables: Sequence[str]) -> list[str]:
    """The statements that make this user the owner of those of `tables` that are another's."""
    names = connection.execute(_NAMES).one()
    foreign = connection.execute(_OWNED, {"schema": names.schema, "tables": [*tables]}).scalars()
    return [f"ALTER TABLE {names.schema}.{table} OWNER TO {names.user}" for table in foreign]


def readable(connection: Connection, tables: Sequence[str]) -> bool:
    """True unless some of `tables` are there and this user may not even read them."""
    names = connection.execute(_NAMES).one()
    return not connection.execute(_READ, {"schema": names.schema, "tables": [*tables]}).all()


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
