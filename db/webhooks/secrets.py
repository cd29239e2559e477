"""Secrets: which ones sign what is sent to an endpoint, or to the URLs that a tenant's jobs name."""

import datetime as dt
import uuid
from collections.abc import Collection, Sequence

from sqlalchemy import (
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    delete,
    func,
    or_,
    select,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from db.session import Table


class Secret(Table):
    """That a secret exists, of an endpoint's or, without one, of the tenant's own. Its text is not here."""

    __tablename__ = "webhook_secrets"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"))
    endpoint_id: Mapped[uuid.UUID | None]
    created_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))

    __table_args__ = (
        ForeignKeyConstraint(
            ["endpoint_id", "tenant_id"], ["webhook_endpoints.id", "webhook_endpoints.tenant_id"], ondelete="CASCADE"
        ),
        Index("webhook_secrets_of_owner", "tenant_id", "endpoint_id"),
    )


def live(session: Session, tenant_id: uuid.UUID, endpoint_id: uuid.UUID | None) -> Sequence[Secret]:
    """The live secrets of an endpoint, or of the tenant's own, newest first."""
    live = or_(Secret.expires_at.is_(None), Secret.expires_at > func.now())
    where = (Secret.tenant_id == tenant_id, Secret.endpoint_id.is_not_distinct_from(endpoint_id), live)
    return session.scalars(select(Secret).where(*where).order_by(Secret.id.desc())).all()


def remove(
    session: Session, tenant_id: uuid.UUID, endpoint_id: uuid.UUID | None, *, but: Collection[uuid.UUID]
) -> None:
    """Deletes the secrets of an endpoint, or of the tenant's own, except these."""
    where = (Secret.tenant_id == tenant_id, Secret.endpoint_id.is_not_distinct_from(endpoint_id))
    session.execute(delete(Secret).where(*where, Secret.id.not_in(but)))
