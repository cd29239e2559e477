"""The role that dumps are made as: it reads every table, and row-level security hides no row from it.

Who dumps without it gets an error, or, with row-level security turned on, a dump without any tenant's documents.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, text

ROLE = "forebay_backup"


def make_role(connection: Connection) -> None:
    """Makes the role as far as the user may. Idempotent. Roles are the whole server's: others may be making it too."""
    for statement in missing(connection):
        connection.execute(text(f"DO $$ BEGIN {statement}; EXCEPTION WHEN {_EXPECTED} THEN NULL; END $$"))


def missing(connection: Connection) -> Sequence[str]:
    """The statements that an administrator has to run, once for the whole server, before dumps can be made."""
    bypasses, reads = connection.execute(text(_LOOK)).one()
    statements = []
    if bypasses is None:
        statements.append(f"CREATE ROLE {ROLE} NOLOGIN BYPASSRLS")
    elif not bypasses:
        statements.append(f"ALTER ROLE {ROLE} BYPASSRLS")
    if not reads:
        statements.append(f"GRANT pg_read_all_data TO {ROLE}")
    return statements


# The user may not, or somebody else is making it at this moment.
_EXPECTED = "insufficient_privilege OR undefined_object OR duplicate_object OR unique_violation OR internal_error"
_LOOK = f"""
SELECT (SELECT rolbypassrls FROM pg_roles WHERE rolname = '{ROLE}'),
       EXISTS (SELECT FROM pg_auth_members JOIN pg_roles ON pg_roles.oid = pg_auth_members.member
               WHERE pg_roles.rolname = '{ROLE}' AND pg_auth_members.roleid = 'pg_read_all_data'::regrole
               AND pg_auth_members.inherit_option)
"""
