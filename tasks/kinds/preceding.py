"""What a response goes on from, looked up when it is asked for: the items before its own, and those that it names."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy.orm import Session

from tasks import errors, ids
from tasks.conversations import items as conversations
from tasks.jobs import responses
from tasks.jobs.responses import Found, Item
from tasks.keys import Caller
from tasks.kinds import items

# Of what is before a response's own items, and of what those refer to.
MAX_ITEMS, MAX_BYTES = conversations.MAX_ITEMS, conversations.MAX_BYTES
REFERENCE = "item_reference"
_MAX_REFERRED = 32  # responses whose items one request names

_READ = "bytes that responses go on from"  # under which a session notes how many it has read


def read_bytes(session: Session) -> int:
    """How much has been read in this session of what responses go on from, whatever became of them."""
    return int(session.info.get(_READ, 0))


def chain(session: Session, caller: Caller, job_id: uuid.UUID) -> list[Item]:
    """All that was said until that response had ended, its own output last. Raises `PreviousResponseMissing`, and
    `InvalidField` for one that runs."""
    shown = ids.show(job_id, ids.RESPONSE)
    try:
        found = responses.get(session, caller, job_id, with_before=True, of_batches=True)
    except errors.NotFound as error:
        message = f"Previous response with id '{shown}' not found."
        raise errors.PreviousResponseMissing("previous_response_id", message) from error
    whole = _read(session, [*found.before, *_own(found)])
    if not found.job.ended:
        raise errors.InvalidField("previous_response_id", f"{shown} hasn't ended yet")
    return whole


def conversed(session: Session, caller: Caller, conversation_id: uuid.UUID) -> list[Item]:
    """What is in the conversation. Raises `ConversationMissing`, and `ConversationFull` for one that is too long to be
    read."""
    with _found(conversation_id):
        return _read(session, [*conversations.context(session, caller, conversation_id)])


def refuse_full(session: Session, caller: Caller, conversation_id: uuid.UUID, coming: Sequence[Item] = ()) -> None:
    """Raises `ConversationFull` where a response that was asked these items would find no room for them and its own;
    `ConversationMissing`, also for one that was there when it was read."""
    with _found(conversation_id):
        conversations.refuse_full(session, caller, conversation_id, coming)


def referred(session: Session, caller: Caller, given: Sequence[Item], before: Sequence[Item]) -> Iterator[Item]:
    """The items, and in the place of a reference the item that it names. Raises `InvalidField`, also where those that
    are named are too long together."""
    named = {item["id"] for item in given if item["type"] == REFERENCE}
    known = {item["id"]: item for item in before if item.get("id") in named}
    looked_up: set[uuid.UUID] = set()
    left = MAX_BYTES
    for number, item in enumerate(given):
        if item["type"] != REFERENCE:
            yield item
            continue
        place = responses.place_of(item["id"])
        if item["id"] not in known and place and place[0] not in looked_up and len(looked_up) < _MAX_REFERRED:
            looked_up.add(place[0])
            known |= {each["id"]: each for each in _items_of(session, caller, place[0]) if each["id"] in named}
        if item["id"] not in known:
            raise errors.InvalidField(f"input.{number}.id", f"Item with id '{item['id'][:64]}' not found.")
        left -= conversations.size(known[item["id"]])
        if left < 0:
            raise errors.InvalidField(
                f"input.{number}.id", f"the items that are named have more than {MAX_BYTES} bytes"
            )
        yield known[item["id"]]


def refuse_twice(own: Sequence[Item], conversed: Sequence[Item]) -> None:
    """Raises `InvalidField` for an id that two items have, or that names something else in the conversation."""
    there = {item["id"]: item for item in conversed}
    seen = set[str]()
    for number, item in enumerate(own):
        item_id = item.get("id")
        if item_id is None:
            continue
        if item_id in seen:
            raise errors.InvalidField(f"input.{number}.id", f"{item_id[:64]} is the id of another item of the input")
        seen.add(item_id)
        if item_id in there and items.turns([there[item_id]]) != items.turns([item]):
            message = f"{item_id[:64]} is the id of another item of the conversation"
            raise errors.InvalidField(f"input.{number}.id", message)


@contextmanager
def _found(conversation_id: uuid.UUID) -> Iterator[None]:
    """Has a conversation that isn't there be an error of the request's."""
    try:
        yield
    except errors.NotFound as error:
        message = f"Conversation with id '{ids.show(conversation_id, ids.CONVERSATION)}' not found."
        raise errors.ConversationMissing("conversation", message) from error


def _items_of(session: Session, caller: Caller, job_id: uuid.UUID) -> list[Item]:
    try:
        return _read(session, list(_own(responses.get(session, caller, job_id, of_batches=True))))
    except errors.NotFound:
        return []


def _read(session: Session, found: list[Item]) -> list[Item]:
    """What was found, once `read_bytes` has it."""
    session.info[_READ] = read_bytes(session) + sum(map(conversations.size, found))
    return found


def _own(found: Found) -> Iterator[Item]:
    """What a response was asked, and what came of it, as far as that got."""
    yield from responses.inputs(found.job.id, found.items)
    if found.job.result is not None:
        yield from responses.outputs(found.job.id, found.job.result)
    else:
        yield from responses.broken_off(found.job.id, found.so_far)
