"""Results as they come, and the retry of what has none: through API, control worker and models."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openai import OpenAI

from tests.flow.test_batches import CHAT, await_answers, begun, chat, ended, lines_of
from tests.support import waiting
from tests.support.platform import Stack


@pytest.fixture
def sdk(stack: Stack) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{stack.url}/v1", api_key=stack.key, max_retries=0) as client:
        yield client


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url, headers=stack.headers, timeout=60) as client:
        yield client


def results(http: httpx.Client, batch_id: str, **asked: Any) -> list[dict[str, Any]]:
    response = http.get(f"/v1/batches/{batch_id}/results", params=asked)
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "application/jsonl"
    return [json.loads(line) for line in response.text.splitlines()]


def events(http: httpx.Client, batch_id: str, **headers: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Id, name and data of each."""
    with http.stream(
        "GET", f"/v1/batches/{batch_id}/results", headers={"Accept": "text/event-stream", **headers}
    ) as got:
        assert got.status_code == 200
        fields: dict[str, str] = {}
        for line in got.iter_lines():
            name, _, value = line.partition(": ")
            if name:
                fields[name] = value
            elif line == "" and fields:
                yield fields["id"], fields["event"], json.loads(fields["data"])
                fields = {}


def retried(http: httpx.Client, batch_id: str, **headers: str) -> httpx.Response:
    return http.post(f"/v1/batches/{batch_id}/retry", headers=headers)


def test_results_are_read_as_they_come_and_go_on_after_any(sdk: OpenAI, http: httpx.Client) -> None:
    """Numbered without a gap, each once; afterwards they are what the files have."""
    batch = begun(sdk, [chat(f"line {n}", f"word {n}") for n in range(12)])
    first = waiting.until(lambda: results(http, batch.id, limit=3), look_s=0.05)
    assert [one["number"] for one in first] == list(range(1, len(first) + 1))
    done = ended(sdk, batch)
    rest = results(http, batch.id, after=first[-1]["number"])
    assert [one["number"] for one in first + rest] == list(range(1, 13))
    told = {one["custom_id"]: {k: v for k, v in one.items() if k != "number"} for one in first + rest}
    assert told == lines_of(sdk, done.output_file_id)
    assert results(http, batch.id, after=12) == []


def test_a_stream_of_results_ends_with_the_batch(sdk: OpenAI, http: httpx.Client) -> None:
    """Whoever has some goes on after the last; whoever has all is told that there is nothing to come for."""
    batch = begun(sdk, [chat(f"line {n}", f"word {n}") for n in range(6)])
    told = list(events(http, batch.id))
    assert [name for _, name, _ in told] == ["result"] * 6 + ["completed"]
    assert [id for id, _, _ in told] == [str(n) for n in range(1, 8)]
    assert told[-1][2]["id"] == batch.id
    assert list(events(http, batch.id, **{"Last-Event-ID": "4"})) == told[4:]
    over = http.get(f"/v1/batches/{batch.id}/results", params={"stream": "true", "after": 7})
    assert over.status_code == 204


def test_lines_that_never_ran_are_told_last(sdk: OpenAI, http: httpx.Client) -> None:
    """Of a batch that is cancelled each line has a result."""
    batch = begun(sdk, [chat(f"line {n}", " ".join(["word"] * 400)) for n in range(300)])
    await_answers(sdk, batch, 1)
    sdk.batches.cancel(batch.id)
    done = ended(sdk, batch)
    told = results(http, batch.id, limit=1000)
    assert [one["number"] for one in told] == list(range(1, 301))
    assert len({one["custom_id"] for one in told}) == 300
    assert sum(one["error"] is None for one in told) == done.request_counts.completed  # type: ignore[union-attr]
    assert results(http, batch.id, after=299) == told[299:]


def test_only_what_has_no_answer_is_asked_again(sdk: OpenAI, http: httpx.Client, stack: Stack) -> None:
    """The new batch has all answers, those of the old one word for word; those weren't run, nor paid for, again."""
    batch = begun(sdk, [chat(f"line {n}", " ".join(["word"] * 150)) for n in range(40)], metadata={"night": "1"})
    assert retried(http, batch.id).status_code == 409  # it runs
    await_answers(sdk, batch, 3)
    sdk.batches.cancel(batch.id)
    old = ended(sdk, batch)
    spent = http.get("/v1/usage").json()["total"]["jobs"]
    made = retried(http, batch.id, **{"Idempotency-Key": f"again-{batch.id}"})
    assert made.status_code == 200, made.text
    assert retried(http, batch.id, **{"Idempotency-Key": f"again-{batch.id}"}).json()["id"] == made.json()["id"]
    done = ended(sdk, sdk.batches.retrieve(made.json()["id"]))
    assert (done.status, done.metadata) == ("completed", {"night": "1"})
    assert done.request_counts is not None
    assert (done.request_counts.total, done.request_counts.completed, done.request_counts.failed) == (40, 40, 0)
    assert old.request_counts is not None
    before, after = lines_of(sdk, old.output_file_id), lines_of(sdk, done.output_file_id)
    for name, line in before.items():
        told = after[name]["response"]["body"]
        assert told["choices"] == line["response"]["body"]["choices"]
        assert told["usage"] == line["response"]["body"]["usage"]
    ran = http.get("/v1/usage").json()["total"]["jobs"] - spent
    assert ran == 40 - old.request_counts.completed + 1  # with the batch itself
    assert [one["number"] for one in results(http, done.id)] == list(range(1, 41))
    again = retried(http, done.id)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
    assert "nothing to ask again" in again.json()["error"]["message"]


def test_a_batch_whose_file_was_refused_has_nothing_to_ask_again(sdk: OpenAI, http: httpx.Client) -> None:
    """Nor one whose file is gone."""
    refused = ended(sdk, begun(sdk, ["no request"]))
    assert retried(http, refused.id).status_code == 409
    batch = begun(sdk, [chat(f"line {n}", " ".join(["word"] * 400)) for n in range(30)])
    await_answers(sdk, batch, 1)
    sdk.batches.cancel(batch.id)
    ended(sdk, batch)
    sdk.files.delete(batch.input_file_id)
    gone = retried(http, batch.id)
    assert (gone.status_code, "its file is gone" in gone.text) == (409, True)


def test_what_an_earlier_batch_has_answered_is_not_run_again(sdk: OpenAI, http: httpx.Client) -> None:
    """Each line is told as it was, under its new name; a check says so before; it is charged once."""
    lines = [chat(f"line {n}", f"known {n}", temperature=0) for n in range(5)]
    first = ended(sdk, begun(sdk, lines))
    file = sdk.files.create(file=("a.jsonl", "\n".join(map(json.dumps, lines)).encode()), purpose="batch")
    [told] = http.post("/v1/batches/check", json={"input_file_id": file.id, "endpoint": CHAT}).json()["models"]
    assert (told["lines"], told["answered_lines"]) == (5, 5)
    spent = http.get("/v1/usage").json()["total"]["jobs"]
    renamed = [
        line | {"custom_id": f"new {line['custom_id']}"} for line in [*lines, chat("more", "more", temperature=0)]
    ]
    second = ended(sdk, begun(sdk, renamed))
    assert http.get("/v1/usage").json()["total"]["jobs"] - spent == 2  # a line, and the batch itself
    assert second.request_counts is not None
    assert second.request_counts.model_dump() == {"total": 6, "completed": 6, "failed": 0}
    before, after = lines_of(sdk, first.output_file_id), lines_of(sdk, second.output_file_id)
    for name, line in before.items():
        body = after[f"new {name}"]["response"]["body"]
        assert body["choices"] == line["response"]["body"]["choices"]
        assert body["usage"] == line["response"]["body"]["usage"]
    assert len(results(http, second.id)) == 6
