"""Batches, from the stock client through API, control worker and models to the files."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest
from openai import BadRequestError, NotFoundError, OpenAI
from openai.types import Batch

from tests.support import waiting
from tests.support.platform import Stack

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
OVER = {"completed", "failed", "expired", "cancelled"}


@pytest.fixture
def sdk(stack: Stack) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{stack.url}/v1", api_key=stack.key, max_retries=0) as client:
        yield client


def chat(name: str, content: str, **more: Any) -> dict[str, Any]:
    body = {"model": "echo", "messages": [{"role": "user", "content": content}], **more}
    return {"custom_id": name, "method": "POST", "url": CHAT, "body": body}


def begun(sdk: OpenAI, lines: Sequence[Any], endpoint: Any = CHAT, window: Any = "24h", **more: Any) -> Batch:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    file = sdk.files.create(file=("lines.jsonl", text.encode()), purpose="batch")
    return sdk.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window=window, **more)


def ended(sdk: OpenAI, batch: Batch) -> Batch:
    return waiting.until(lambda: (found := sdk.batches.retrieve(batch.id)).status in OVER and found, look_s=0.1)


def await_answers(sdk: OpenAI, batch: Batch, number: int) -> None:
    def met() -> bool:
        counts = sdk.batches.retrieve(batch.id).request_counts
        return counts is not None and counts.completed >= number

    waiting.until(met, look_s=0.05)


def lines_of(sdk: OpenAI, file_id: str | None) -> dict[str, dict[str, Any]]:
    """A file's lines by their `custom_id`s, each of which is there once."""
    assert file_id is not None
    lines = [json.loads(line) for line in sdk.files.content(file_id).text.splitlines()]
    named = {line["custom_id"]: line for line in lines}
    assert len(named) == len(lines)
    return named


def test_a_batch_is_answered_line_by_line(sdk: OpenAI) -> None:
    """Each line's body is what its route answers; several answers to one line are children of its job."""
    lines = [chat(f"line {n}", f"word {n}", temperature=0) for n in range(30)] + [chat("two", "twice", n=2)]
    batch = begun(sdk, lines, metadata={"night": "1"}, output_expires_after={"anchor": "created_at", "seconds": 3600})
    assert (batch.status, batch.object, batch.metadata) == ("validating", "batch", {"night": "1"})
    done = ended(sdk, batch)
    assert (done.status, done.errors, done.error_file_id) == ("completed", None, None)
    assert done.request_counts is not None
    assert done.request_counts.model_dump() == {"total": 31, "completed": 31, "failed": 0}
    assert done.model == "echo"
    assert None not in (done.in_progress_at, done.finalizing_at, done.completed_at, done.expires_at)
    told = lines_of(sdk, done.output_file_id)
    assert told.keys() == {line["custom_id"] for line in lines}
    for n in range(30):
        own = told[f"line {n}"]
        assert own["error"] is None
        assert own["response"]["status_code"] == 200
        body = own["response"]["body"]
        assert (body["object"], body["service_tier"]) == ("chat.completion", "flex")
        assert f"word {n}" in body["choices"][0]["message"]["content"]
    assert [choice["index"] for choice in told["two"]["response"]["body"]["choices"]] == [0, 1]
    used = [line["response"]["body"]["usage"] for line in told.values()]
    assert done.usage is not None
    assert done.usage.output_tokens == sum(one["completion_tokens"] for one in used)
    file = sdk.files.retrieve(str(done.output_file_id))
    assert (file.purpose, file.expires_at) == ("batch_output", file.created_at + 3600)
    assert done.id in [one.id for one in sdk.batches.list(limit=1)]


def test_responses_are_answered_in_a_batch(sdk: OpenAI) -> None:
    """Each line's body is what its route answers."""
    asked = {"model": "echo", "input": "one two three", "temperature": 0, "instructions": "Be short."}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": asked}
    done = ended(sdk, begun(sdk, [line], "/v1/responses"))
    body = lines_of(sdk, done.output_file_id)["a"]["response"]["body"]
    alone = sdk.responses.create(**asked).to_dict()  # type: ignore[call-overload]
    assert (body["object"], body["status"], body["instructions"]) == ("response", "completed", "Be short.")
    assert body["output"][0]["content"] == alone["output"][0]["content"]
    assert body.keys() == alone.keys()


def test_what_fails_by_itself_is_in_the_error_file(sdk: OpenAI) -> None:
    """The batch is completed all the same."""
    lines = [chat("good", "word"), chat("long", "word " * 5000)]
    done = ended(sdk, begun(sdk, lines))
    assert done.status == "completed"
    assert done.request_counts is not None
    assert done.request_counts.model_dump() == {"total": 2, "completed": 1, "failed": 1}
    assert lines_of(sdk, done.output_file_id).keys() == {"good"}
    [failed] = lines_of(sdk, done.error_file_id).values()
    assert (failed["response"]["status_code"], failed["error"]) == (400, None)
    assert failed["response"]["body"]["error"]["code"] == "context_length_exceeded"


def test_a_file_that_is_wrong_fails_its_batch(sdk: OpenAI) -> None:
    """With each line that is, and nothing is run."""
    lines = [chat("one", "word"), chat("one", "word"), chat("two", "word", model="none"), {"custom_id": "three"}]
    done = ended(sdk, begun(sdk, lines))
    assert (done.status, done.output_file_id, done.error_file_id) == ("failed", None, None)
    assert done.errors is not None
    told = [(error.line, error.code, error.param) for error in done.errors.data or ()]
    assert told == [
        (2, "duplicate_custom_id", "custom_id"),
        (3, "model_not_found", "body.model"),
        (4, "missing_required_parameter", "method"),
    ]
    assert done.failed_at is not None


def test_a_cancelled_batch_keeps_what_was_answered(sdk: OpenAI, stack: Stack) -> None:
    """By the batch's own route, and by its job's."""
    for cancel in (sdk.batches.cancel, lambda id: _cancel_job(stack, id)):
        batch = begun(sdk, [chat(str(n), " ".join(["word"] * 20)) for n in range(200)])
        await_answers(sdk, batch, 6)
        cancel(batch.id)
        assert sdk.batches.retrieve(batch.id).status in ("cancelling", "cancelled")
        done = ended(sdk, batch)
        assert done.status == "cancelled"
        assert None not in (done.cancelling_at, done.cancelled_at, done.request_counts)
        answered, refused = lines_of(sdk, done.output_file_id), lines_of(sdk, done.error_file_id)
        assert done.request_counts is not None
        assert (len(answered), len(refused)) == (done.request_counts.completed, done.request_counts.failed)
        assert answered.keys() | refused.keys() == {str(n) for n in range(200)}
        assert {line["error"]["code"] for line in refused.values()} == {"batch_cancelled"}


def _cancel_job(stack: Stack, batch_id: str) -> None:
    url = f"{stack.url}/v1/jobs/{batch_id.replace('batch_', 'job_')}/cancel"
    assert httpx.post(url, headers=stack.headers).status_code == 200


def test_embeddings_and_completions_are_as_their_routes_answer_them(sdk: OpenAI) -> None:
    """With what their answers are rendered by beyond their jobs."""
    body = {"model": "echo", "prompt": ["one two", "three"], "echo": True, "max_tokens": 4, "temperature": 0}
    line = {"custom_id": "c", "method": "POST", "url": COMPLETIONS, "body": body}
    done = ended(sdk, begun(sdk, [line], COMPLETIONS))
    own = lines_of(sdk, done.output_file_id)["c"]["response"]["body"]
    alone = sdk.completions.create(**body)
    assert [one["text"] for one in own["choices"]] == [one.text for one in alone.choices]


def test_bad_requests_make_no_batch(sdk: OpenAI) -> None:
    before = [one.id for one in sdk.batches.list()]
    file = sdk.files.create(file=("a.jsonl", b"{}\n"), purpose="user_data")
    good = sdk.files.create(file=("a.jsonl", b"{}\n"), purpose="batch")
    for wrong in (
        {"input_file_id": "file-0192f0c1d2e37f4f8a5b6c7d8e9f0a1b"},
        {"input_file_id": file.id},
        {"endpoint": "/v1/images/generations"},
        {"completion_window": "31d"},
        {"completion_window": "soon"},
        {"metadata": {"n": 1}},
        {"output_expires_after": {"anchor": "created_at", "seconds": 60}},
    ):
        asked: Any = {"input_file_id": good.id, "endpoint": CHAT, "completion_window": "24h", **wrong}
        with pytest.raises(BadRequestError) as caught:
            sdk.batches.create(**asked)
        assert str(caught.value.param).split(".")[0] in wrong
    with pytest.raises(NotFoundError):
        sdk.batches.retrieve("batch_0192f0c1d2e37f4f8a5b6c7d8e9f0a1b")
    assert [one.id for one in sdk.batches.list()] == before
