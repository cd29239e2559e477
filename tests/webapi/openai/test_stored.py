"""Stored chat completions as OpenAI's client asks for them, and what is left of them in PostgreSQL."""

from collections.abc import Iterator
from typing import Any

import pytest
from openai import NotFoundError, OpenAI

from tests.webapi.openai.conftest import CHAT, Jobs

CONVERSATION: Any = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": [{"type": "text", "text": "Hello"}, {"type": "text", "text": "there"}]},
    {"role": "assistant", "content": None, "tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    ]},
    {"role": "tool", "tool_call_id": "call_1", "content": "seen"},
]  # fmt: skip


@pytest.fixture
def stored(sdk: OpenAI) -> Iterator[list[str]]:
    """The ids of three stored completions, the oldest first, of which two have a note; none of others is left."""
    notes: list[Any] = [{"test": "stored"}, {"test": "other"}, {"test": "stored"}]
    ids = [_store(sdk, note) for note in notes]
    yield ids
    for id in [made.id for made in sdk.chat.completions.list(limit=100)]:
        sdk.chat.completions.delete(id)


def _store(sdk: OpenAI, note: dict[str, str]) -> str:
    made = sdk.chat.completions.create(
        model=CHAT, messages=CONVERSATION, store=True, metadata=note, max_completion_tokens=3
    )
    return made.id


def test_those_that_are_to_be_kept_are_listed(sdk: OpenAI, stored: list[str]) -> None:
    """In pages, in either order, by model and by note; the others aren't."""
    kept = sdk.chat.completions
    kept.create(model=CHAT, messages=CONVERSATION, max_completion_tokens=1)
    assert [made.id for made in kept.list(limit=1)] == stored  # page after page
    assert [made.id for made in kept.list(order="desc")] == stored[::-1]
    assert [made.id for made in kept.list(metadata={"test": "stored"})] == [stored[0], stored[2]]
    assert [made.id for made in kept.list(after=stored[1])] == [stored[2]]
    assert list(kept.list(model="echo")) == []
    page = kept.list(limit=2, model=CHAT)
    assert (page.data[0].id, page.data[-1].id, page.has_more) == (stored[0], stored[1], True)
    assert page.to_dict()["object"] == "list"
    assert kept.list(limit=0).data == []


def test_one_is_looked_at_and_noted_on(sdk: OpenAI, stored: list[str]) -> None:
    """As it was answered, with other notes from then on."""
    shown = sdk.chat.completions.retrieve(stored[0])
    assert (shown.id, shown.object, shown.model) == (stored[0], "chat.completion", CHAT)
    assert shown.usage is not None
    assert shown.usage.completion_tokens == 3
    changed = sdk.chat.completions.update(stored[0], metadata={"test": "changed"})
    assert changed.to_dict()["metadata"] == {"test": "changed"}
    assert [made.id for made in sdk.chat.completions.list(metadata={"test": "changed"})] == [stored[0]]


def test_what_it_was_asked_is_listed(sdk: OpenAI, stored: list[str]) -> None:
    """Message by message: parts as parts, calls as calls; in pages too."""
    messages = [message.to_dict() for message in sdk.chat.completions.messages.list(stored[0], limit=3)]
    assert sdk.chat.completions.messages.list(stored[0]).to_dict()["object"] == "list"
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "tool"]
    assert [message["content"] for message in messages] == ["Be kind.", "Hello\nthere", None, "seen"]
    parts: Any = messages[1]["content_parts"]
    assert [part["text"] for part in parts] == ["Hello", "there"]
    assert messages[2]["tool_calls"] == CONVERSATION[2]["tool_calls"]
    assert messages[3]["tool_call_id"] == "call_1"
    turned = sdk.chat.completions.messages.list(stored[0], order="desc", limit=1)
    assert (turned.data[0].id, turned.has_more) == (messages[3]["id"], True)


def test_one_that_is_erased_leaves_its_cost_alone(sdk: OpenAI, jobs: Jobs, stored: list[str]) -> None:
    """Nothing that was said is in PostgreSQL any more; the ledger is."""
    job_id = "job_" + stored[0].removeprefix("chatcmpl-")
    assert jobs.row(job_id, "SELECT input->'messages' IS NOT NULL FROM jobs WHERE id = %(id)s") == (True,)
    erased = sdk.chat.completions.delete(stored[0])
    assert (erased.id, erased.deleted, erased.object) == (stored[0], True, "chat.completion.deleted")
    assert jobs.row(job_id, "SELECT count(*) FROM jobs WHERE id = %(id)s") == (0,)
    assert jobs.row(job_id, "SELECT count(*) FROM job_outputs WHERE job_id = %(id)s") == (0,)
    assert jobs.row(job_id, "SELECT completion_tokens, status FROM ledger WHERE job_id = %(id)s") == (3, "succeeded")
    assert stored[0] not in [made.id for made in sdk.chat.completions.list()]


@pytest.mark.parametrize("id", ["chatcmpl-none", f"chatcmpl-{'0' * 32}"])
def test_one_that_isnt_there_is_told_so(sdk: OpenAI, id: str) -> None:
    """Whatever is asked of it."""
    kept = sdk.chat.completions
    for ask in (kept.retrieve, kept.delete, kept.messages.list, lambda one: kept.update(one, metadata=None)):
        with pytest.raises(NotFoundError):
            ask(id)


def test_one_that_wasnt_to_be_kept_isnt_there(sdk: OpenAI) -> None:
    """Its job is, for as long as its stream."""
    made = sdk.chat.completions.create(model=CHAT, messages=CONVERSATION, max_completion_tokens=1)
    with pytest.raises(NotFoundError):
        sdk.chat.completions.retrieve(made.id)


def test_what_was_answered_is_told_again_in_every_way(sdk: OpenAI) -> None:
    """Calls, probabilities and tokens too; but for what it was made by, which may change."""
    look: Any = {"name": "look", "parameters": {"type": "object", "properties": {"far": {"type": "boolean"}}}}
    asked = {"model": CHAT, "messages": CONVERSATION[:2], "store": True, "logprobs": True, "top_logprobs": 1}
    tools: Any = {"tools": [{"type": "function", "function": look}], "tool_choice": "required"}
    for more in ({"max_completion_tokens": 3}, {"max_completion_tokens": 120, **tools}):
        made = sdk.chat.completions.create(**asked, **more, metadata={"test": "told"})  # type: ignore[call-overload]
        told = made.to_dict()
        del told["system_fingerprint"]
        assert told["choices"][0]["logprobs"] or more.get("tools")
        assert sdk.chat.completions.retrieve(made.id).to_dict() == told
        assert sdk.chat.completions.update(made.id, metadata={"test": "told"}).to_dict() == told
        assert sdk.chat.completions.list(metadata={"test": "told"}).data[-1].to_dict() == told
        sdk.chat.completions.delete(made.id)
