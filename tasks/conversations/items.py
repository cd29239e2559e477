"""The items of a conversation: put into it, listed, read for a response, taken out.

An item is JSON in OpenAI's shape, with an id that no other item of its conversation has. Whoever puts something in
locks the conversation's row first: of two at once, all that one puts in stands before all of the other's.

Every function takes a session, never commits, and opens the tenant's scope itself.
"""

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from db import conversations
from db.conversations import Conversation, NewItem
from db.scope import scope
from tasks import errors, ids
from tasks.conversations.conversations import ConversationView, there, view
from tasks.keys import Caller

MAX_ITEMS, MAX_BYTES = 10_000, 4 * 1024 * 1024
_PAGE_BYTES = 4 * 1024 * 1024
_MOST_READ = 4  # times as much as a conversation may have is read at once: what runs ends into a full one too

# How the ids of items begin, by their types.
PREFIXES = {
    "message": "msg_",
    "function_call": "fc_",
    "function_call_output": "fco_",
    "reasoning": "rs_",
    "file_search_call": "fs_",
    "compaction": "cmp_",
}

Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a conversation's items, in the order that was asked for, and whether there are more."""

    items: list[dict[str, Any]]
    more: bool


def size(item: Item) -> int:
    """How long it is as a text, in bytes."""
    return len(json.dumps(item, ensure_ascii=False).encode())


def named(item: Item) -> dict[str, Any]:
    """The item, with an id drawn for it where it has none."""
    return {
        "id": f"{PREFIXES.get(item['type'], 'item_')}{ids.new().hex}",
        **item,
        "status": item.get("status", "completed"),
    }


def new(items: Sequence[Item], *, field: str = "items") -> tuple[NewItem, ...]:
    """These items, to be put in. Raises `InvalidField` where two have one id."""
    seen = set[str]()
    for number, item in enumerate(items):
        if item["id"] in seen:
            raise _twice(f"{field}.{number}.id", item["id"])
        seen.add(item["id"])
    return tuple(_measured(items))


def add(session: Session, caller: Caller, conversation_id: uuid.UUID, items: tuple[NewItem, ...]) -> None:
    """Puts them in at the end. Raises `NotFound`, `ConversationFull`, and `InvalidField` for an id that is in there."""
    with scope(session, caller.tenant_id):
        row = there(session, caller, conversation_id, lock=True)
        known = conversations.known(session, row, [item.id for item in items])
        for number, item in enumerate(items):
            if item.id in known:
                raise _twice(f"items.{number}.id", item.id)
        _refuse_full(row, "items", len(items), sum(item.bytes for item in items))
        conversations.append(session, row, items)


def settle(session: Session, tenant_id: uuid.UUID, conversation_id: uuid.UUID, items: Sequence[Item]) -> None:
    """Puts in what a response was asked and answered, in the transaction that ends it. Idempotent.

    Of items with one id the first is put in, so that none of them can break the end. The conversation takes them
    however full it is: the room was looked for when the response was asked for. Nothing where it has been deleted
    meanwhile.
    """
    with scope(session, tenant_id):
        row = conversations.find(session, tenant_id, conversation_id, lock=True)
        if row is None:
            return
        first: dict[str, Item] = {}
        for item in items:
            first.setdefault(item["id"], item)
        known = conversations.known(session, row, first)
        conversations.append(session, row, [item for item in _measured(first.values()) if item.id not in known])


def context(session: Session, caller: Caller, conversation_id: uuid.UUID) -> list[dict[str, Any]]:
    """All its items, in order. Raises `NotFound`, and `ConversationFull` for one too long to be read at once."""
    with scope(session, caller.tenant_id):
        row = there(session, caller, conversation_id)
        _refuse_full(row, "conversation", 0, 0, times=_MOST_READ)
        return conversations.items(session, caller.tenant_id, conversation_id)


def refuse_full(session: Session, caller: Caller, conversation_id: uuid.UUID, coming: Sequence[Item]) -> None:
    """Raises `ConversationFull` where a response that was asked these items would find no room for them and its own;
    `NotFound`."""
    with scope(session, caller.tenant_id):
        row = there(session, caller, conversation_id)
        _refuse_full(row, "conversation", len(coming) + 1, sum(size(item) for item in coming))


def held(session: Session, caller: Caller, conversation_id: uuid.UUID) -> tuple[int, int]:
    """How many items are in it, and of how many bytes; none where it isn't there."""
    with scope(session, caller.tenant_id):
        row = conversations.find(session, caller.tenant_id, conversation_id)
    return (row.items, row.bytes) if row else (0, 0)


def page(
    session: Session,
    caller: Caller,
    conversation_id: uuid.UUID,
    *,
    limit: int,
    after: str | None = None,
    newest_first: bool = True,
) -> Page:
    """Some of them, at most `limit`, after that one in the order that is asked for; fewer where they are large.

    Raises `NotFound`, and `InvalidField` where `after` isn't in there.
    """
    tenant_id = caller.tenant_id
    with scope(session, tenant_id):
        there(session, caller, conversation_id)
        place = None if after is None else conversations.place_of(session, tenant_id, conversation_id, after)
        if after is not None and place is None:
            raise errors.InvalidField("after", "names no item of this conversation")
        sizes = conversations.sizes(
            session, tenant_id, conversation_id, limit=limit + 1, after=place, newest_first=newest_first
        )
        places = _fitting(sizes[:limit])
        found = conversations.items(session, tenant_id, conversation_id, places) if places else []
    return Page(found[::-1] if newest_first else found, len(places) < len(sizes))


def get(session: Session, caller: Caller, conversation_id: uuid.UUID, item_id: str) -> dict[str, Any]:
    """Raises `NotFound`."""
    with scope(session, caller.tenant_id):
        there(session, caller, conversation_id)
        item = conversations.item(session, caller.tenant_id, conversation_id, item_id)
    if item is None:
        raise _unknown(item_id)
    return item


def delete(session: Session, caller: Caller, conversation_id: uuid.UUID, item_id: str) -> ConversationView:
    """Takes it out; the conversation. Raises `NotFound`."""
    with scope(session, caller.tenant_id):
        row = there(session, caller, conversation_id, lock=True)
        if not conversations.take_out(session, row, item_id):
            raise _unknown(item_id)
        return view(row)


def _measured(items: Iterable[Item]) -> Iterator[NewItem]:
    for item in items:
        yield NewItem(item["id"], item, size(item))


def _fitting(sizes: Sequence[tuple[int, int]]) -> list[int]:
    """The places of as many as a page holds: the first one, however large, and what has room beside it."""
    left, places = _PAGE_BYTES, list[int]()
    for place, size in sizes:
        left -= size
        if places and left < 0:
            break
        places.append(place)
    return places


def _refuse_full(row: Conversation, field: str, items: int, size: int, times: int = 1) -> None:
    if row.items + items > times * MAX_ITEMS:
        raise errors.ConversationFull(field, f"a conversation has at most {MAX_ITEMS} items, and this one {row.items}")
    if row.bytes + size > times * MAX_BYTES:
        raise errors.ConversationFull(field, f"a conversation has at most {MAX_BYTES} bytes, and this one {row.bytes}")


def _twice(field: str, item_id: str) -> errors.InvalidField:
    return errors.InvalidField(field, f"{item_id[:64]} is the id of another item of the conversation")


def _unknown(item_id: str) -> errors.NotFound:
    return errors.NotFound(f"no item {item_id[:64]} in this conversation")
