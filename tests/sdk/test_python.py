"""OpenAI's client for Python does with a platform what programs have it do, from the first call to the last.

What each route answers to what is told by the tests of `webapi`; here its clients' own loops run to their ends.
"""

import json
from collections.abc import Iterable
from typing import Any, Literal

import pytest
from openai import InvalidWebhookSignatureError, NotFoundError, OpenAI
from openai.types import Batch
from openai.types.responses import ResponseStreamEvent
from pydantic import BaseModel

from tests import receiver
from tests.support import catalogs, waiting

CHAT = "demo-chat"
SLOW = "echo"  # says its prompt again, a token in 20 ms
WORDS = " ".join(f"w{n}" for n in range(60))
ENDPOINT: Any = "/v1/chat/completions"
ENDED = ("completed", "failed", "expired", "cancelled")


class Look(BaseModel):
    """What the model is to fill in."""

    where: Literal["up", "down"]


LOOK: Any = {
    "type": "function",
    "name": "look",
    "description": "To look.",
    "parameters": {**Look.model_json_schema(), "additionalProperties": False},
    "strict": True,
}


def deltas(events: Iterable[ResponseStreamEvent]) -> str:
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


def test_a_response_is_asked_for_gone_on_from_and_deleted(sdk: OpenAI) -> None:
    first = sdk.responses.create(model=CHAT, input="Hello", max_output_tokens=8, temperature=0)
    assert first.output_text
    assert first.usage
    assert first.usage.output_tokens
    assert sdk.responses.retrieve(first.id) == first
    then = sdk.responses.create(model=CHAT, input="And then?", previous_response_id=first.id, max_output_tokens=8)
    items: list[Any] = list(sdk.responses.input_items.list(then.id, order="asc", limit=1))
    assert [item.content[0].text for item in items] == ["And then?"]
    assert sdk.responses.input_tokens.count(model=CHAT, input="Hello").input_tokens > 0
    sdk.responses.delete(first.id)
    with pytest.raises(NotFoundError):
        sdk.responses.retrieve(first.id)


def test_a_response_is_read_as_it_comes(sdk: OpenAI) -> None:
    """Numbered without a gap; the client's own sum of what it heard is what the last event says."""
    with sdk.responses.stream(model=CHAT, input="Hello", max_output_tokens=12, temperature=0) as stream:
        events: list[Any] = list(stream)
        last = stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert deltas(events) == last.output_text


def test_a_response_in_the_background_is_resumed_where_it_was_left(sdk: OpenAI) -> None:
    """In the midst of it, and once more when it has ended."""
    seen: list[ResponseStreamEvent] = []
    with sdk.responses.create(model=SLOW, input=WORDS, background=True, stream=True) as stream:
        for event in stream:
            seen.append(event)
            if len(seen) == 10:
                break
    assert seen[0].type == "response.created"
    response_id, after = seen[0].response.id, seen[-1].sequence_number
    for _ in range(2):
        rest = list(sdk.responses.retrieve(response_id, stream=True, starting_after=after))
        whole = [*seen, *rest]
        assert [event.sequence_number for event in whole] == list(range(len(whole)))
        assert deltas(whole) == sdk.responses.retrieve(response_id).output_text


def test_a_response_in_the_background_is_cancelled(sdk: OpenAI) -> None:
    begun = sdk.responses.create(model=SLOW, input=WORDS, background=True)
    assert begun.status in ("queued", "in_progress")
    assert sdk.responses.cancel(begun.id).status == "cancelled"
    assert sdk.responses.retrieve(begun.id).status == "cancelled"


def test_a_response_fits_the_programs_own_type(sdk: OpenAI) -> None:
    parsed = sdk.responses.parse(model=CHAT, input="Look!", text_format=Look, max_output_tokens=60)
    assert isinstance(parsed.output_parsed, Look)


def test_a_function_is_called_and_its_output_answered(sdk: OpenAI) -> None:
    made = sdk.responses.create(model=CHAT, input="Look!", tools=[LOOK], tool_choice="required", max_output_tokens=100)
    [call] = [item for item in made.output if item.type == "function_call"]
    assert Look.model_validate_json(call.arguments)
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "a bird"}
    then = sdk.responses.create(model=CHAT, previous_response_id=made.id, input=[output], max_output_tokens=8)
    assert then.output_text


def test_a_conversation_keeps_what_was_said(sdk: OpenAI) -> None:
    begun = sdk.conversations.create(items=[{"type": "message", "role": "user", "content": "I am Anna."}])
    answered = sdk.responses.create(model=CHAT, conversation=begun.id, input="Who am I?", max_output_tokens=8)
    items: list[Any] = list(sdk.conversations.items.list(begun.id, order="asc", limit=1))
    assert [item.content[0].text for item in items] == ["I am Anna.", "Who am I?", answered.output_text]
    sdk.conversations.items.delete(items[0].id, conversation_id=begun.id)
    assert sdk.conversations.update(begun.id, metadata={"of": "us"}).metadata == {"of": "us"}
    assert sdk.conversations.delete(begun.id).deleted
    with pytest.raises(NotFoundError):
        sdk.conversations.retrieve(begun.id)


def batch_of(sdk: OpenAI, contents: Iterable[str]) -> Batch:
    """A batch of one message each."""
    lines = [
        {
            "custom_id": f"line-{n}",
            "method": "POST",
            "url": ENDPOINT,
            "body": {"model": SLOW, "messages": [{"role": "user", "content": content}]},
        }
        for n, content in enumerate(contents)
    ]
    file = sdk.files.create(file=("in.jsonl", "\n".join(map(json.dumps, lines)).encode()), purpose="batch")
    return sdk.batches.create(input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h")


def ended(sdk: OpenAI, batch: Batch) -> Batch:
    waiting.until(lambda: sdk.batches.retrieve(batch.id).status in ENDED)
    return sdk.batches.retrieve(batch.id)


def test_a_batch_is_run_listed_and_read(sdk: OpenAI) -> None:
    batch = batch_of(sdk, ["one", "two"])
    done = ended(sdk, batch)
    assert (done.status, done.error_file_id) == ("completed", None)
    assert done.request_counts
    assert done.request_counts.to_dict() == {"total": 2, "completed": 2, "failed": 0}
    assert done.output_file_id
    answers = [json.loads(line) for line in sdk.files.content(done.output_file_id).text.splitlines()]
    assert sorted(answer["custom_id"] for answer in answers) == ["line-0", "line-1"]
    assert {answer["response"]["body"]["object"] for answer in answers} == {"chat.completion"}
    assert batch.id in [one.id for one in sdk.batches.list(limit=1)]


def test_a_batch_is_cancelled_and_what_was_done_is_kept(sdk: OpenAI) -> None:
    batch = batch_of(sdk, [WORDS] * 40)
    waiting.until(lambda: completed(sdk.batches.retrieve(batch.id)) > 0)
    assert sdk.batches.cancel(batch.id).status in ("cancelling", "cancelled")
    done = ended(sdk, batch)
    assert done.status == "cancelled"
    assert done.output_file_id
    assert len(sdk.files.content(done.output_file_id).text.splitlines()) == completed(done) < 40


def completed(batch: Batch) -> int:
    return batch.request_counts.completed if batch.request_counts else 0


@catalogs.without_embedding_model
def test_a_vector_store_is_filled_searched_and_deleted(sdk: OpenAI) -> None:
    store = sdk.vector_stores.create(name="books")
    harbour, bread = (
        ("harbour.txt", b"The code of the harbour is nineteen."),
        ("bread.txt", b"Anna bakes bread every morning."),
    )
    file = sdk.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=harbour)
    assert file.status == "completed"
    batch = sdk.vector_stores.file_batches.upload_and_poll(store.id, files=[bread])
    assert (batch.status, batch.file_counts.completed) == ("completed", 1)
    sdk.vector_stores.files.update(file.id, vector_store_id=store.id, attributes={"about": "harbour"})
    asked = "What is the code of the harbour?"
    assert next(iter(sdk.vector_stores.search(store.id, query=asked))).file_id == file.id
    others = sdk.vector_stores.search(store.id, query=asked, filters={"type": "ne", "key": "about", "value": "harbour"})
    assert [one.filename for one in others] == ["bread.txt"]
    assert sdk.vector_stores.retrieve(store.id).file_counts.completed == 2
    assert sdk.vector_stores.delete(store.id).deleted
    with pytest.raises(NotFoundError):
        sdk.vector_stores.retrieve(store.id)


def test_an_event_is_verified_and_read(sdk: OpenAI) -> None:
    """Of a batch and of a response, once each; what was changed on the way is refused."""
    with receiver.listening() as ours:
        body = {"url": ours.url, "events": ["response.completed", "batch.completed"]}
        hook: Any = sdk.post("/webhooks", cast_to=object, body=body)
        sdk.post(f"/webhooks/{hook['id']}/test", cast_to=object)
        [trial] = ours.until(1)
        tried: Any = sdk.webhooks.unwrap(trial.body, trial.headers, secret=hook["secret"])
        assert (tried.type, tried.data.id) == ("webhook.test", hook["id"])
        response = sdk.responses.create(model=SLOW, input="one two", background=True)
        batch = batch_of(sdk, ["one"])
        came = ours.until(3)[1:]
        events = [sdk.webhooks.unwrap(message.body, message.headers, secret=hook["secret"]) for message in came]
        assert {(event.type, event.data.id) for event in events} == {  # type: ignore[union-attr]
            ("response.completed", response.id),
            ("batch.completed", batch.id),
        }
        with pytest.raises(InvalidWebhookSignatureError):
            sdk.webhooks.unwrap(came[0].body + b" ", came[0].headers, secret=hook["secret"])
        sdk.delete(f"/webhooks/{hook['id']}", cast_to=object)
