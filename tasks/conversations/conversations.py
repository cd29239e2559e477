"""Conversations: made, found, noted on, deleted.

Every function takes a session, never commits, and opens the tenant's scope itself.
"""

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from db import conversations
from db.conversations import Conversation, NewItem
from db.scope import scope
from tasks import errors, ids
from tasks.keys import Caller


@dataclass(frozen=True, slots=True)
class ConversationView:
    """What is told of a conversation."""

    id: uuid.UUID
    created_at: dt.datetime
    metadata: Mapping[str, str]


def create(
    session: Session, caller: Caller, metadata: Mapping[str, str], items: tuple[NewItem, ...]
) -> ConversationView:
    """Makes one with these items in it, whose ids differ."""
    row = Conversation(id=ids.new(), tenant_id=caller.tenant_id, labels=dict(metadata), items=0, bytes=0, next_place=0)
    with scope(session, caller.tenant_id):
        conversations.add(session, row)
        conversations.append(session, row, items)
    return view(row)


def get(session: Session, caller: Caller, conversation_id: uuid.UUID) -> ConversationView:
    """Raises `NotFound`."""
    with scope(session, caller.tenant_id):
        return view(there(session, caller, conversation_id))


def note(session: Session, caller: Caller, conversation_id: uuid.UUID, metadata: Mapping[str, str]) -> ConversationView:
    """Puts other notes in the place of those it has. Raises `NotFound`."""
    with scope(session, caller.tenant_id):
        row = there(session, caller, conversation_id, lock=True)
        conversations.note(session, row, metadata)
        return view(row)


def delete(session: Session, caller: Caller, conversation_id: uuid.UUID) -> None:
    """Deletes it with its items. Raises `NotFound`.

    A response that is being made in it ends as it would; nothing of it is kept here.
    """
    with scope(session, caller.tenant_id):
        found = conversations.remove(session, caller.tenant_id, conversation_id)
    if not found:
        raise _unknown(conversation_id)


def forget(session: Session, tenant_id: uuid.UUID, most: int, *, kept_s: float) -> int:
    """Deletes those that haven't been used for so long, at most so many; how many."""
    with scope(session, tenant_id):
        return conversations.forget(session, tenant_id, dt.timedelta(seconds=kept_s), most)


def there(session: Session, caller: Caller, conversation_id: uuid.UUID, *, lock: bool = False) -> Conversation:
    """The row, for a caller within the scope. Raises `NotFound`."""
    row = conversations.find(session, caller.tenant_id, conversation_id, lock=lock)
    if row is None:
        raise _unknown(conversation_id)
    return row


def view(row: Conversation) -> ConversationView:
    return ConversationView(row.id, row.created_at, dict(row.labels))


def _unknown(conversation_id: uuid.UUID) -> errors.NotFound:
    return errors.NotFound(f"no conversation {ids.show(conversation_id, ids.CONVERSATION)}")
