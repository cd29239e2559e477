"""The second wall between tenants: within a scope PostgreSQL itself shows and takes one tenant's rows only.

The first wall is the tenant condition that every query carries. This one is row-level security on the tables of
`db.documents`, which holds though a query forgets it.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

ROLE = "forebay_tenant"
TENANT = "app.tenant"


@contextmanager
def scope(session: Session, tenant_id: uuid.UUID) -> Iterator[None]:
    """Runs the block's statements as `ROLE`, for this tenant: no other table can be reached, no other tenant's row.

    Both settings are local to the transaction, so nothing sticks to a pooled connection, and both are taken back at
    the block's end, also when an error of ours ends it. After an error of the database only a rollback helps. Scopes
    don't nest.
    """
    session.flush()  # what waits to be written is not for the scope's role to write
    _set(session, ROLE, str(tenant_id))
    try:
        yield
    except SQLAlchemyError:
        raise
    except BaseException:
        _set(session, "none", "")
        raise
    _set(session, "none", "")


def _set(session: Session, role: str, tenant: str) -> None:
    """`SET LOCAL ROLE` and the policies' setting, in one round trip."""
    session.execute(select(func.set_config("role", role, True), func.set_config(TENANT, tenant, True)))
