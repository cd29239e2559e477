"""What responses put into a conversation, and read of it: in one order, once, whoever comes beside."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from db.session import Sessions
from tasks import errors
from tasks.conversations import conversations, items
from tasks.keys import Caller


def said(*texts: str) -> list[dict[str, Any]]:
    return [{"id": f"msg_{text}", "type": "message", "role": "user", "content": []} for text in texts]


def made(sessions: Sessions, caller: Caller, *texts: str) -> uuid.UUID:
    with sessions.begin() as session:
        return conversations.create(session, caller, {}, items.new(said(*texts))).id


def settle(sessions: Sessions, caller: Caller, conversation_id: uuid.UUID, *texts: str) -> None:
    with sessions.begin() as session:
        items.settle(session, caller.tenant_id, conversation_id, said(*texts))


def context(sessions: Sessions, caller: Caller, conversation_id: uuid.UUID) -> list[str]:
    with sessions.begin() as session:
        return [item["id"][4:] for item in items.context(session, caller, conversation_id)]


def refuse_full(sessions: Sessions, caller: Caller, conversation_id: uuid.UUID, *coming: str) -> None:
    with sessions.begin() as session:
        items.refuse_full(session, caller, conversation_id, said(*coming))


def test_a_response_adds_what_was_said_once(sessions: Sessions, caller: Caller) -> None:
    """However often its end is written."""
    conversation_id = made(sessions, caller, "one")
    settle(sessions, caller, conversation_id, "two", "three")
    settle(sessions, caller, conversation_id, "two", "three")
    assert context(sessions, caller, conversation_id) == ["one", "two", "three"]


def test_of_responses_that_end_at_once_none_is_lost_or_mixed(sessions: Sessions, caller: Caller) -> None:
    """What one adds stands together."""
    conversation_id = made(sessions, caller)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: settle(sessions, caller, conversation_id, f"{n}-asked", f"{n}-said"), range(40)))
    found = context(sessions, caller, conversation_id)
    assert sorted(found[::2]) == sorted(f"{n}-asked" for n in range(40))
    assert [asked.replace("asked", "said") for asked in found[::2]] == found[1::2]


def test_what_a_response_says_has_room_in_a_full_conversation(
    sessions: Sessions, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next that asks finds none."""
    monkeypatch.setattr(items, "MAX_ITEMS", 2)
    conversation_id = made(sessions, caller, "one")
    with pytest.raises(errors.ConversationFull):
        refuse_full(sessions, caller, conversation_id, "two")  # and its answer would be the third
    refuse_full(sessions, caller, conversation_id)
    settle(sessions, caller, conversation_id, "two", "three")
    with pytest.raises(errors.ConversationFull):
        refuse_full(sessions, caller, conversation_id)
    assert context(sessions, caller, conversation_id) == ["one", "two", "three"]


def test_nothing_is_added_to_a_conversation_that_is_gone(sessions: Sessions, caller: Caller) -> None:
    conversation_id = made(sessions, caller, "one")
    with sessions.begin() as session:
        conversations.delete(session, caller, conversation_id)
    settle(sessions, caller, conversation_id, "two")
    with pytest.raises(errors.NotFound):
        context(sessions, caller, conversation_id)


def test_of_items_with_one_id_the_first_is_put_in(sessions: Sessions, caller: Caller) -> None:
    """None of them breaks the end of a job."""
    conversation_id = made(sessions, caller, "one")
    settle(sessions, caller, conversation_id, "two", "two", "one", "three")
    assert context(sessions, caller, conversation_id) == ["one", "two", "three"]
