"""`/v1/messages/batches` as Anthropic's client asks it."""

import json
from typing import Any

import anthropic
import httpx
import pytest
from anthropic import Anthropic

from tests.support import waiting
from tests.support.platform import Stack

SLOW = "echo"  # says its prompt again, a token in 20 ms
ENDED = "ended"


def one(name: str, content: str, **more: Any) -> Any:
    params = {"model": SLOW, "max_tokens": 400, "messages": [{"role": "user", "content": content}], **more}
    return {"custom_id": name, "params": params}


def ended(sdk: Anthropic, batch_id: str) -> Any:
    def over() -> Any:
        found = sdk.messages.batches.retrieve(batch_id)
        return found if found.processing_status == ENDED else None

    return waiting.until(over, look_s=0.1)


def test_many_messages_are_made(sdk: Anthropic) -> None:
    """Each request has its result, which is the message that its route would have answered."""
    made = sdk.messages.batches.create(requests=[one(f"r{n}", f"word {n}") for n in range(12)])
    assert (made.processing_status, made.results_url, made.request_counts.processing) == ("in_progress", None, 12)
    assert (made.expires_at - made.created_at).total_seconds() == pytest.approx(86_400, abs=5)
    done = ended(sdk, made.id)
    assert (done.request_counts.succeeded, done.request_counts.processing, done.request_counts.errored) == (12, 0, 0)
    results = {line.custom_id: line.result for line in sdk.messages.batches.results(made.id)}
    assert results.keys() == {f"r{n}" for n in range(12)}
    for name, result in results.items():
        assert result.type == "succeeded"
        said = result.message.content[0].text  # type: ignore[union-attr]
        assert said
        assert set(said) <= set(f"word {name[1:]}")
        assert result.message.usage.service_tier == "batch"


def test_what_can_not_be_answered_is_that_requests_error(sdk: Anthropic) -> None:
    """The others are answered; of equal ones each is counted."""
    requests = [one("a", "word", temperature=0), one("b", "word", temperature=0), one("long", "word " * 100_000)]
    made = sdk.messages.batches.create(requests=requests)
    counts = ended(sdk, made.id).request_counts
    assert (counts.succeeded, counts.errored, counts.canceled) == (2, 1, 0)
    results = {line.custom_id: line.result for line in sdk.messages.batches.results(made.id)}
    assert (results["a"].type, results["b"].type) == ("succeeded", "succeeded")
    failed = results["long"]
    assert failed.type == "errored"
    assert failed.error.error.type == "invalid_request_error"
    assert failed.error.error.message.startswith("messages: ")


def test_a_cancelled_batch_keeps_what_was_answered(sdk: Anthropic) -> None:
    """Every other request is told to be cancelled."""
    made = sdk.messages.batches.create(requests=[one(f"r{n}", " ".join(["word"] * 300)) for n in range(60)])
    waiting.until(lambda: sdk.messages.batches.retrieve(made.id).request_counts.succeeded, look_s=0.05)
    with pytest.raises(anthropic.ConflictError):
        sdk.messages.batches.delete(made.id)
    cancelled = sdk.messages.batches.cancel(made.id)
    assert cancelled.cancel_initiated_at is not None
    done = ended(sdk, made.id)
    counts = done.request_counts
    assert counts.succeeded > 0 < counts.canceled
    assert (counts.succeeded + counts.canceled, counts.errored, counts.processing) == (60, 0, 0)
    types = [line.result.type for line in sdk.messages.batches.results(made.id)]
    assert (types.count("succeeded"), types.count("canceled")) == (counts.succeeded, counts.canceled)


def test_batches_are_listed_both_ways_and_deleted(sdk: Anthropic, stack: Stack) -> None:
    """Page by page, older and newer; a deleted one is gone with its file. Others' batches are none of these."""
    made = [sdk.messages.batches.create(requests=[one("r", "word")]).id for _ in range(4)]
    newest = [batch.id for _, batch in zip(range(4), sdk.messages.batches.list(limit=2), strict=False)]
    assert newest == made[::-1]
    older = sdk.messages.batches.list(after_id=made[2], limit=1)
    assert ([batch.id for batch in older.data], older.has_more) == ([made[1]], True)
    newer = sdk.messages.batches.list(before_id=made[0], limit=2)
    assert [batch.id for batch in newer.data] == [made[2], made[1]]
    ended(sdk, made[0])
    assert sdk.messages.batches.delete(made[0]).id == made[0]
    with pytest.raises(anthropic.NotFoundError):
        sdk.messages.batches.retrieve(made[0])
    as_openais = f"{stack.url}/v1/batches/batch_{made[1].removeprefix('msgbatch_')}"
    shown = httpx.get(as_openais, headers=stack.headers).json()
    assert shown["endpoint"] == "/v1/messages"
    assert made[1] not in httpx.get(f"{stack.url}/v1/messages/batches/{made[1]}x", headers=stack.headers).json()


def test_pages_begin_at_any_batch(sdk: Anthropic) -> None:
    """At one that was deleted, too; both sides can be named. What is no id is refused by its name."""
    made = [sdk.messages.batches.create(requests=[one("r", "word")]).id for _ in range(3)]
    ended(sdk, made[1])
    sdk.messages.batches.delete(made[1])
    for after in (made[1], made[2]):
        assert sdk.messages.batches.list(after_id=after, limit=1).data[0].id == made[0]
    assert sdk.messages.batches.list(after_id=made[2], before_id=made[0]).data == []
    assert sdk.messages.batches.list(after_id=f"msgbatch_{'0' * 32}").data == []
    assert sdk.messages.batches.list(before_id=f"msgbatch_{'f' * 32}").data == []
    for side in ("after_id", "before_id"):
        with pytest.raises(anthropic.BadRequestError) as refused:
            sdk.messages.batches.list(**{side: "msgbatch_1"})  # type: ignore[arg-type]
        assert side in str(refused.value)


def test_a_file_that_was_sent_stays(sdk: Anthropic, stack: Stack) -> None:
    """Though the batch of it, which OpenAI's route made, is deleted as one of messages."""
    line = {"custom_id": "r", "method": "POST", "url": "/v1/messages", "body": one("r", "word")["params"]}
    with httpx.Client(base_url=stack.url, headers=stack.headers) as http:
        sent = {"file": ("lines.jsonl", json.dumps(line).encode())}
        file_id = http.post("/v1/files", data={"purpose": "batch"}, files=sent).json()["id"]
        asked = {"input_file_id": file_id, "endpoint": "/v1/messages", "completion_window": "24h"}
        made = http.post("/v1/batches", json=asked).json()["id"]
        ended(sdk, as_messages(made))
        output = http.get(f"/v1/batches/{made}").json()["output_file_id"]
        sdk.messages.batches.delete(as_messages(made))
        assert http.get(f"/v1/files/{file_id}").status_code == 200
        assert http.get(f"/v1/files/{output}").status_code == 404


def test_a_file_goes_with_the_last_batch_of_it(sdk: Anthropic, stack: Stack) -> None:
    """A retry is of the file of the batch that it asks again."""
    made = sdk.messages.batches.create(requests=[one(f"r{n}", " ".join(["word"] * 300)) for n in range(3)])
    sdk.messages.batches.cancel(made.id)
    ended(sdk, made.id)
    with httpx.Client(base_url=stack.url, headers=stack.headers) as http:
        again = http.post(f"/v1/batches/batch_{made.id.removeprefix('msgbatch_')}/retry").json()
        file_path = f"/v1/files/{again['input_file_id']}"
        sdk.messages.batches.delete(made.id)
        assert http.get(file_path).status_code == 200
        done = ended(sdk, as_messages(again["id"]))
        assert done.request_counts.succeeded == 3
        sdk.messages.batches.delete(done.id)
        assert http.get(file_path).status_code == 404


def as_messages(batch_id: str) -> str:
    """The id, which has OpenAI's prefix, with Anthropic's."""
    return f"msgbatch_{batch_id.removeprefix('batch_')}"


@pytest.mark.parametrize(
    ("requests", "path"),
    [
        ([], "requests"),
        ([one("a", "x"), one("a", "x")], "requests.1.custom_id"),
        ([one("a b", "x")], "requests.0.custom_id"),
        ([one("a", "x"), one("b", "x", max_tokens=0)], "requests.1.params.max_tokens"),
        ([one("a", "x", stream=True)], "requests.0.params.stream"),
        ([one("a", "x") | {"more": 1}], "requests.0.more"),
        ([one("a", "x", model="nothing")], "requests.0.params.model"),
    ],
)
def test_nothing_is_accepted_unless_all_requests_are_right(sdk: Anthropic, requests: Any, path: str) -> None:
    """What is wrong is told at once, by its request and field; nothing is left of the others."""
    before = [batch.id for batch in sdk.messages.batches.list(limit=1).data]
    with pytest.raises((anthropic.BadRequestError, anthropic.NotFoundError)) as refused:
        sdk.messages.batches.create(requests=requests)
    assert f"{path}: " in str(refused.value)
    assert [batch.id for batch in sdk.messages.batches.list(limit=1).data] == before


def test_a_body_that_is_none_is_refused(stack: Stack) -> None:
    """By what it isn't; and the files that were begun are gone."""
    url, json_type = f"{stack.url}/v1/messages/batches", {**stack.headers, "Content-Type": "application/json"}
    before = httpx.get(f"{stack.url}/v1/files", headers=stack.headers).json()["data"]
    for content in (b"", b"[]", b'{"requests": [{]}', b'{"requests": [{"custom_id": "a", "params": {"a": NaN}}]}'):
        assert httpx.post(url, content=content, headers=json_type).status_code == 400
    assert httpx.post(url, content=b"{}", headers=stack.headers).status_code == 415
    assert httpx.post(url, content=b"{}", headers={**json_type, "Content-Encoding": "gzip"}).status_code == 415
    wide = {"requests": [{"custom_id": "a", "params": {f"k{n}": 1 for n in range(60_000)}}]}
    refused = httpx.post(url, json=wide, headers=stack.headers)
    assert (refused.status_code, "more than 50000 values" in refused.text) == (400, True)
    long = httpx.post(url, json={"requests": [one("a", "x" * 5_000_000)]}, headers=stack.headers)
    assert (long.status_code, "requests.0: has more than" in long.text) == (400, True)
    assert httpx.get(f"{stack.url}/v1/files", headers=stack.headers).json()["data"] == before
