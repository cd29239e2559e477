"""The plain dialect: a prompt in, a text out; texts in, an answer from them out; health."""

import json
from typing import Any

import pytest
import redis
from flask import Flask

from db.jobs import Job
from db.session import Sessions
from tasks import errors
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.streams.events import Event
from tests.webapi import byhand
from tests.webapi.conftest import Api


def failed(job: Job) -> tuple[list[Event], Outcome]:
    del job
    return [], Outcome(Status.FAILED, error=(errors.ContextLengthExceeded.code, "too long"))


def pieces(text: str) -> list[Any]:
    """What each event of a stream says."""
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]


def test_prompt_is_answered_as_it_stands(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    given = {"prompt": "zero", "max_tokens": 5, "temperature": 0, "stop": "x", "stream": False}
    with byhand.working(sessions, client, byhand.in_two_words) as jobs:
        answer = api.post("/api/v1/generate", json=given)
    assert (answer.status_code, answer.json) == (200, {"response": "one two"})
    [job] = jobs
    assert (job.type, job.model, job.lane, job.input) == ("generate", "alpha", "interactive", {"prompt": "zero"})
    assert job.params == {"max_tokens": 5, "temperature": 0, "stop": ["x"]}


def test_stream_has_pieces_and_ends_with_an_empty_object(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    with byhand.working(sessions, client, byhand.in_two_words):
        answer = api.post("/api/v1/generate", json={"prompt": "zero", "stream": True})
        assert pieces(answer.text) == [{"response": "one"}, {"response": " two"}, {}]
    assert answer.mimetype == "text/event-stream"


def test_failure_is_told_as_ours_are(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    """As a status where there is one to give, else as the stream's last event."""
    with byhand.working(sessions, client, failed):
        whole = api.post("/api/v1/generate", json={"prompt": "zero"})
        [last] = pieces(api.post("/api/v1/generate", json={"prompt": "zero", "stream": True}).text)
    assert whole.status_code == 400
    assert last == whole.json
    assert last["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize(
    ("path", "given", "field"),
    [
        ("/api/v1/generate", {"prompt": ""}, "prompt"),
        ("/api/v1/generate", {"prompt": "x" * 64 * 65}, "prompt"),
        ("/api/v1/generate", {"prompt": "x", "temperature": 3}, "temperature"),
        ("/api/v1/generate", {"prompt": "x", "model": "nobody"}, "model"),
        ("/api/v1/generate", {"prompt": "x", "stream": 1}, "stream"),
        ("/v1/rag/chat", {"query": "x"}, "collection"),
        ("/v1/rag/chat", {"query": "x", "num_context_docs": 0}, "num_context_docs"),
        ("/v1/rag/documents", {"texts": []}, "texts"),
        ("/v1/rag/documents", {"texts": ["x"], "metadata": [{}, {}]}, "metadata"),
        ("/v1/rag/documents", {"texts": ["x"], "metadata": [{"k": None}]}, "metadata.k"),
    ],
)
def test_wrong_field_is_a_422_that_names_it(api: Api, path: str, given: dict[str, Any], field: str) -> None:
    """By the name that it has in this dialect."""
    response = api.post(path, json=given)
    assert (response.status_code, response.json["error"]["param"]) == (422, field), response.text


def test_texts_are_brought_and_asked_about(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    brought = api.post("/v1/rag/documents", json={"texts": ["one", "two"], "metadata": [{"n": 1}, {"n": 2}]})
    assert brought.status_code == 202
    assert brought.headers["Location"] == f"/v1/jobs/{brought.json['job_id']}"
    assert (brought.json["collection"], brought.json["status"]) == ("default", "queued")
    found = [api.get(f"/v1/documents/{id}").json for id in brought.json["document_ids"]]
    assert [(one["collection"], one["metadata"]) for one in found] == [("default", {"n": 1}), ("default", {"n": 2})]
    api.post(f"/v1/jobs/{brought.json['job_id']}/cancel")

    asked = {"query": "Who?", "max_tokens": 7, "num_context_docs": 3}
    with byhand.working(sessions, client, byhand.in_two_words) as jobs:
        whole = api.post("/v1/rag/chat", json=asked)
        streamed = pieces(api.post("/v1/rag/chat", json={**asked, "stream": True}).text)
    assert whole.json == {"answer": "one two", "sources": [byhand.PASSAGE]}
    assert streamed == [{"sources": [byhand.PASSAGE]}, {"answer": "one"}, {"answer": " two"}, {}]
    assert jobs[0].input == {"question": "Who?", "collection": "default", "top_k": 3}
    assert jobs[0].params == {"max_tokens": 7}


def test_texts_brought_twice_under_one_key_are_there_once(api: Api) -> None:
    """The second answer is the first."""
    first, second = (
        api.post("/v1/rag/documents", json={"texts": ["one"]}, headers={"Idempotency-Key": "k"}) for _ in range(2)
    )
    assert first.json == second.json
    assert len(api.get("/v1/documents").json["data"]) == 1


def test_health_wants_no_key(app: Flask) -> None:
    response = app.test_client().get("/health")
    assert (response.status_code, response.json) == (200, {"status": "ok"})
