"""PostgreSQL's connections: which there are, and how many there may be."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class Backend:
    """A client's connection. `name` is what it says of itself; None of another user's, which not everybody is shown."""

    name: str | None
    same_database: bool
    same_role: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """How many connections there may be: to the server, but for those kept for its administrators; of this role; to
    this database. None where nothing limits them."""

    server: int
    role: int | None
    database: int | None


def found(session: Session) -> Sequence[Backend]:
    return [Backend(*row) for row in session.execute(_BACKENDS)]


def limits(session: Session) -> Limits:
    return Limits(*session.execute(_LIMITS).one())


_BACKENDS = text(
    """
    SELECT application_name, datid = (SELECT oid FROM pg_database WHERE datname = current_database()),
        usename = session_user
    FROM pg_stat_activity
    WHERE datid IS NOT NULL AND usesysid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'
    """
)
_LIMITS = text(
    """
    SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
            - current_setting('reserved_connections')::int,
        (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = session_user AND NOT rolsuper),
        (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database())
    """
)
