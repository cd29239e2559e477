"""Conversations, and the items in them, each in its place. All is behind the second wall: these functions are called
within `scope.scope` of the tenant they name."""

import datetime as dt
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from db.session import Table

_QUIET = {"synchronize_session": False}


class Conversation(Table):
    """`items` and `bytes` say what is in it now; `next_place` is where its next item stands: places only grow. It was
    used last when something was put into it, or noted on it."""

    __tablename__ = "conversations"
    __table_args__ = (
        UniqueConstraint("id", "tenant_id"),  # what the references of its items are to
        Index("conversations_used", "tenant_id", "used_at"),  # `forget`
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"))
    labels: Mapped[dict[str, str]] = mapped_column("metadata", JSON)
    created_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    used_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    items: Mapped[int] = mapped_column(Integer, server_default="0")
    bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")
    next_place: Mapped[int] = mapped_column(BigInteger, server_default="0")


class ConversationItem(Table):
    """`item` is as its client, or a response, wrote it; `bytes` is its length as a text."""

    __tablename__ = "conversation_items"
    __table_args__ = (
        ForeignKeyConstraint(
            ["conversation_id", "tenant_id"], ["conversations.id", "conversations.tenant_id"], ondelete="CASCADE"
        ),
        UniqueConstraint("conversation_id", "item_id"),  # `known`, `item`, `place_of`
    )

    conversation_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    place: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    tenant_id: Mapped[uuid.UUID]
    item_id: Mapped[str] = mapped_column(Text)
    item: Mapped[dict[str, Any]] = mapped_column(JSON)
    bytes: Mapped[int] = mapped_column(Integer)


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item to be put into a conversation."""

    id: str
    item: Mapping[str, Any]
    bytes: int


def add(session: Session, conversation: Conversation) -> None:
    """Notes it; its times are set by PostgreSQL's clock."""
    session.add(conversation)
    session.flush()
    session.refresh(conversation)


def find(
    session: Session, tenant_id: uuid.UUID, conversation_id: uuid.UUID, *, lock: bool = False
) -> Conversation | None:
    """The tenant's conversation; with `lock`, until the transaction's end nobody else puts anything into it."""
    own = (Conversation.id == conversation_id, Conversation.tenant_id == tenant_id)
    query = select(Conversation).where(*own).execution_options(populate_existing=True)
    return session.scalars(query.with_for_update() if lock else query).one_or_none()


def note(session: Session, conversation: Conversation, labels: Mapping[str, str]) -> None:
    """Puts these notes in the place of those that a locked conversation has."""
    conversation.labels = dict(labels)
    conversation.used_at = func.now()
    session.flush()
    session.refresh(conversation)


def remove(session: Session, tenant_id: uuid.UUID, conversation_id: uuid.UUID) -> bool:
    """Deletes it with its items; False where it isn't there."""
    own = (Conversation.id == conversation_id, Conversation.tenant_id == tenant_id)
    return session.scalar(delete(Conversation).where(*own).returning(Conversation.id)) is not None


def known(session: Session, conversation: Conversation, item_ids: Collection[str]) -> set[str]:
    """Those of these items that are in it."""
    own = _own(conversation.tenant_id, conversation.id)
    return set(session.scalars(select(ConversationItem.item_id).where(*own, ConversationItem.item_id.in_(item_ids))))


def append(session: Session, conversation: Conversation, items: Sequence[NewItem]) -> None:
    """Puts items, none of which is in it, at the end of a locked conversation."""
    if not items:
        return
    rows = [
        {
            "conversation_id": conversation.id,
            "tenant_id": conversation.tenant_id,
            "place": place,
            "item_id": item.id,
            "item": dict(item.item),
            "bytes": item.bytes,
        }
        for place, item in enumerate(items, conversation.next_place)
    ]
    session.execute(insert(ConversationItem), rows)
    conversation.next_place += len(items)
    conversation.items += len(items)
    conversation.bytes += sum(item.bytes for item in items)
    conversation.used_at = func.now()
    session.flush()


def sizes(
    session: Session,
    tenant_id: uuid.UUID,
    conversation_id: uuid.UUID,
    *,
    limit: int,
    after: int | None = None,
    newest_first: bool = False,
) -> list[tuple[int, int]]:
    """Places of its items, at most `limit`, those that stand after `after` in that order; and how long each is."""
    place = ConversationItem.place
    wanted = list(_own(tenant_id, conversation_id))
    if after is not None:
        wanted.append(place < after if newest_first else place > after)
    query = select(place, ConversationItem.bytes).where(*wanted)
    query = query.order_by(place.desc() if newest_first else place.asc()).limit(limit)
    return [(row.place, row.bytes) for row in session.execute(query)]


def items(
    session: Session, tenant_id: uuid.UUID, conversation_id: uuid.UUID, places: Collection[int] | None = None
) -> list[dict[str, Any]]:
    """Those at these places, or all, in the order of their places."""
    which = () if places is None else (ConversationItem.place.in_(places),)
    query = select(ConversationItem.item).where(*_own(tenant_id, conversation_id), *which)
    return list(session.scalars(query.order_by(ConversationItem.place)))


def item(session: Session, tenant_id: uuid.UUID, conversation_id: uuid.UUID, item_id: str) -> dict[str, Any] | None:
    """The item of that id; None where it isn't in there."""
    own = (*_own(tenant_id, conversation_id), ConversationItem.item_id == item_id)
    return session.scalar(select(ConversationItem.item).where(*own))


def place_of(session: Session, tenant_id: uuid.UUID, conversation_id: uuid.UUID, item_id: str) -> int | None:
    """Where the item stands; None where it isn't in there."""
    own = (*_own(tenant_id, conversation_id), ConversationItem.item_id == item_id)
    return session.scalar(select(ConversationItem.place).where(*own))


def take_out(session: Session, conversation: Conversation, item_id: str) -> bool:
    """Deletes an item of a locked conversation; False where it isn't in there."""
    own = (*_own(conversation.tenant_id, conversation.id), ConversationItem.item_id == item_id)
    size = session.scalar(delete(ConversationItem).where(*own).returning(ConversationItem.bytes))
    if size is None:
        return False
    conversation.items -= 1
    conversation.bytes -= size
    session.flush()
    return True


def forget(session: Session, tenant_id: uuid.UUID, unused: dt.timedelta, limit: int) -> int:
    """Deletes conversations that haven't been used for so long, at most `limit`, the longest unused first; how many.

    None that another transaction holds.
    """
    old = (Conversation.tenant_id == tenant_id, Conversation.used_at < func.now() - unused)
    some = select(Conversation.id).where(*old).order_by(Conversation.used_at).limit(limit)
    found = session.scalars(some.with_for_update(skip_locked=True)).all()
    session.execute(delete(Conversation).where(Conversation.id.in_(found)), execution_options=_QUIET)
    return len(found)


def _own(tenant_id: uuid.UUID, conversation_id: uuid.UUID) -> tuple[Any, Any]:
    return ConversationItem.tenant_id == tenant_id, ConversationItem.conversation_id == conversation_id
