"""The second wall between tenants: within a scope PostgreSQL itself shows and takes one tenant's rows only.

The first wall is the tenant condition that every query carries. This one is row-level security on the tables of
`db.documents`, which holds though a query forgets it.
"""

import functools
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import ARRAY, Select, Text, bindparam, column, func, select, true
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from db import statements
from db.statements import Statement
from db.walls import SEARCH_ROLE

ROLE = "forebay_tenant"
TENANT = "app.tenant"


@contextmanager
def scope(session: Session, tenant_id: uuid.UUID, settings: Mapping[str, str] | None = None) -> Iterator[None]:
    """Runs the block's statements as `ROLE`, for this tenant: no other table can be reached, no other tenant's row.

    Both settings are local to the transaction, so nothing sticks to a pooled connection, and both are taken back at
    the block's end, also when an error of ours ends it. After an error of the database only a rollback helps. Scopes
    don't nest. Further `settings` of PostgreSQL's, by their names, hold until the transaction ends.
    """
    enter_scope(session, tenant_id, settings)
    try:
        yield
    except SQLAlchemyError:
        raise
    except BaseException:
        _set(session, _NOBODY)
        raise
    _set(session, _NOBODY)


def over_walls(session: Session, found: Select[uuid.UUID], limit: int) -> list[uuid.UUID]:
    """Tenants among those that the query finds, at most so many, drawn by lot: the query, and nothing else, runs as the
    role that sees where rows of all tenants are, and not what they say."""
    named = found.subquery()
    drawn = select(named.c[0]).group_by(named.c[0]).order_by(func.random()).limit(limit)
    session.flush()
    _set(session, {"role": SEARCH_ROLE})
    tenants = list(session.scalars(drawn))
    _set(session, _NOBODY)
    return tenants


def enter_scope(session: Session, tenant_id: uuid.UUID, settings: Mapping[str, str] | None = None) -> None:
    """Has all that is left of the transaction be in the tenant's `scope`: its end takes the settings back, unasked."""
    session.flush()  # what waits to be written is not for the scope's role to write
    _set(session, {"role": ROLE, TENANT: str(tenant_id), **(settings or {})})


_NOBODY = {"role": "none", TENANT: ""}


def _set(session: Session, settings: Mapping[str, str]) -> None:
    """`SET LOCAL` of each, in one round trip and by one statement that PostgreSQL has prepared."""
    statements.rows(session, _setting(), {"names": [*settings], "values": [*settings.values()]})


@functools.cache
def _setting() -> Statement:
    names, values = bindparam("names", type_=ARRAY(Text)), bindparam("values", type_=ARRAY(Text))
    given = func.unnest(names, values).table_valued(column("name", Text), column("value", Text)).render_derived()
    return statements.made(select(func.set_config(given.c.name, given.c.value, true())))
