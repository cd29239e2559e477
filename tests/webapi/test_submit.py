"""What `POST /v1/jobs` takes, and what it refuses with the path of the field."""

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import undefer

from db.jobs import Job
from db.session import Sessions
from tasks import ids
from tests.webapi.conftest import Api

JOB_FIELDS = [
    "id", "object", "type", "model", "status", "lane", "priority", "created_at", "started_at", "finished_at",
    "run_at", "expires_at", "deadline_s", "retry_of", "position", "attempt", "progress", "result", "error", "usage",
    "metadata", "links",
]  # fmt: skip

CHAT = {"type": "chat", "input": {"messages": [{"role": "user", "content": "hello"}]}}
LONG = "x" * 64 * 64

REFUSED = [
    ({"params": {"max_tokens": 5.0}}, "params.max_tokens"),
    ({"priority": 5.0}, "priority"),
    ({"type": "dance"}, "type"),
    ({"type": None}, "type"),
    ({"type": ["generate"]}, "type"),
    ({"model": "gamma"}, "model"),
    ({"model": 1}, "model"),
    ({"model": ""}, "model"),
    ({"modle": "alpha"}, "modle"),
    ({"input": None}, "input"),
    ({"input": "hello"}, "input"),
    ({"input": {}}, "input.prompt"),
    ({"input": {"prompt": ""}}, "input.prompt"),
    ({"input": {"prompt": 5}}, "input.prompt"),
    ({"input": {"prompt": LONG + "x"}}, "input.prompt"),
    ({"input": {"prompt": "x", "messages": []}}, "input.messages"),
    ({"run_at": "2020-01-01T00:00:00Z"}, "run_at"),
    ({"run_at": "2999-01-01T00:00:00Z"}, "run_at"),
    ({"run_at": "tomorrow"}, "run_at"),
    ({"run_at": 5}, "run_at"),
    ({"run_at": "2026-01-01T00:00:00"}, "run_at"),
    ({"expires_at": "0001-01-01T00:00:00+14:00"}, "expires_at"),
    ({"expires_at": "9999-12-31T23:59:59-14:00"}, "expires_at"),
    ({"max_queue_s": 0}, "max_queue_s"),
    ({"max_queue_s": 10**9}, "max_queue_s"),
    ({"deadline_s": 0}, "deadline_s"),
    ({"deadline_s": 0.5}, "deadline_s"),
    ({"deadline_s": 10**9}, "deadline_s"),
    ({"deadline_s": "5"}, "deadline_s"),
    ({"params": []}, "params"),
    ({"params": {"top_q": 1}}, "params.top_q"),
    ({"params": {"max_tokens": 0}}, "params.max_tokens"),
    ({"params": {"max_tokens": 1_000_001}}, "params.max_tokens"),
    ({"params": {"max_tokens": 1.5}}, "params.max_tokens"),
    ({"params": {"max_tokens": True}}, "params.max_tokens"),
    ({"params": {"max_tokens": "5"}}, "params.max_tokens"),
    ({"params": {"temperature": -0.1}}, "params.temperature"),
    ({"params": {"temperature": 2.1}}, "params.temperature"),
    ({"params": {"temperature": "0.5"}}, "params.temperature"),
    ({"params": {"temperature": False}}, "params.temperature"),
    ({"params": {"top_p": 0}}, "params.top_p"),
    ({"params": {"top_p": 1.01}}, "params.top_p"),
    ({"params": {"top_k": -1}}, "params.top_k"),
    ({"params": {"top_k": 1001}}, "params.top_k"),
    ({"params": {"min_p": 2}}, "params.min_p"),
    ({"params": {"repetition_penalty": 0}}, "params.repetition_penalty"),
    ({"params": {"seed": -1}}, "params.seed"),
    ({"params": {"seed": 2**31}}, "params.seed"),
    ({"params": {"stop": 5}}, "params.stop"),
    ({"params": {"stop": ""}}, "params.stop"),
    ({"params": {"stop": ["x"] * 9}}, "params.stop"),
    ({"params": {"stop": ["x" * 65]}}, "params.stop"),
    ({"params": {"stop": [None]}}, "params.stop"),
    ({"lane": "express"}, "lane"),
    ({"priority": 10}, "priority"),
    ({"priority": -1}, "priority"),
    ({"metadata": ["x"]}, "metadata"),
    ({"metadata": {"k": 1}}, "metadata.k"),
    ({"metadata": {"k": "v" * 513}}, "metadata.k"),
    ({"metadata": {"k" * 65: "v"}}, "metadata." + "k" * 64),
    ({"metadata": {str(i): "v" for i in range(17)}}, "metadata"),
]

REFUSED_CHAT = [
    ({"input": {"messages": []}}, "input.messages"),
    ({"input": {"messages": [{"role": "user", "content": "x"}] * 101}}, "input.messages"),
    ({"input": {"messages": [{"role": "robot", "content": "x"}]}}, "input.messages.0.role"),
    ({"input": {"messages": [{"role": "user", "content": ""}]}}, "input.messages.0.content"),
    ({"input": {"messages": [{"role": "user"}]}}, "input.messages.0.content"),
    ({"input": {"messages": ["hello"]}}, "input.messages.0"),
    ({"input": {"messages": [{"role": "user", "content": "x", "name": "y"}]}}, "input.messages.0.name"),
    ({"input": {"messages": [{"role": "user", "content": LONG + "x"}]}}, "input.messages"),
    ({"input": {"prompt": "x"}}, "input.prompt"),
    ({"input": {}}, "input.messages"),
    ({"model": "beta"}, "model"),
]


def stored(sessions: Sessions, shown: str) -> Job:
    with sessions() as session:
        return session.scalars(select(Job).where(Job.id == ids.parse(shown)).options(undefer("*"))).one()


def test_submitted_job_is_answered_whole_with_its_place(api: Api) -> None:
    """The answer is a 202 with the whole job, and `Location` is where it is found again."""
    response = api.post("/v1/jobs", json={"type": "generate", "input": {"prompt": "one"}, "metadata": {"k": "v"}})
    job = response.json
    assert response.status_code == 202
    assert list(job) == JOB_FIELDS
    assert (job["object"], job["status"], job["model"], job["metadata"]) == ("job", "queued", "alpha", {"k": "v"})
    assert (job["lane"], job["priority"], job["result"]) == ("interactive", 5, None)
    assert response.headers["Location"] == job["links"]["self"] == f"/v1/jobs/{job['id']}"
    assert api.get(job["links"]["self"]).json["id"] == job["id"]


def test_only_given_params_are_kept(api: Api, sessions: Sessions) -> None:
    """Defaults are the worker's: what wasn't given, or was null, is stored nowhere. One stop string is a list."""
    job = api.submit(params={"temperature": None, "stop": "end", "max_tokens": 5, "top_p": 1}, lane=None)
    assert stored(sessions, job["id"]).params == {"stop": ["end"], "max_tokens": 5, "top_p": 1.0}
    assert api.submit(params=None, metadata=None, model=None, priority=None)["priority"] == 5


def test_chat_keeps_its_messages(api: Api, sessions: Sessions) -> None:
    """The conversation is stored as it was given."""
    job = api.submit(**CHAT)
    assert stored(sessions, job["id"]).input == CHAT["input"]


@pytest.mark.parametrize(("changes", "field"), REFUSED)
def test_wrong_field_is_a_422_that_names_it(api: Api, changes: dict[str, Any], field: str) -> None:
    """Whatever can't be accepted is refused with the path of the field, and nothing is stored."""
    response = api.post("/v1/jobs", json={"type": "generate", "input": {"prompt": "one"}, **changes})
    assert (response.status_code, response.json["error"]["param"]) == (422, field)
    assert api.get("/v1/jobs").json["data"] == []


@pytest.mark.parametrize(("changes", "field"), REFUSED_CHAT)
def test_wrong_conversation_is_a_422_that_names_the_place(api: Api, changes: dict[str, Any], field: str) -> None:
    """The path goes into lists by number."""
    response = api.post("/v1/jobs", json={**CHAT, **changes})
    assert (response.status_code, response.json["error"]["param"]) == (422, field)


@pytest.mark.parametrize(
    ("noun", "given", "said"),
    [
        ("jobs", {"type": "generate", "input": {"prompt": ""}}, "the prompt is empty"),
        ("jobs", {"type": "chat", "input": {"messages": []}}, "the list is empty"),
        ("jobs", {"type": "embed", "input": {"texts": []}}, "the list is empty"),
        ("jobs", {"type": "embed", "input": {"texts": ["one", ""]}}, "the text is empty"),
        ("jobs", {"type": "rag", "input": {"question": "", "collection": "books"}}, "the question is empty"),
        ("jobs", {"type": "rag", "input": {"question": "Who?", "collection": ""}}, "must have 1 to 200 characters"),
        (
            "jobs",
            {"type": "rag", "input": {"question": "Who?", "collection": "books", "rerank": ""}},
            "must be true, false, or the name of a model that reranks",
        ),
        ("search", {"collection": "books", "query": " "}, "the query is empty"),
        ("documents", {"collection": "books", "documents": [{"text": " "}]}, "the text is empty"),
    ],
)
def test_what_is_empty_is_said_to_be(api: Api, noun: str, given: dict[str, Any], said: str) -> None:
    """In words, whatever the validator's library would say."""
    assert api.post(f"/v1/{noun}", json=given).json["error"]["message"] == said


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"model": "gamma"}, "model_not_found"), ({"input": {"prompt": LONG + "x"}}, "context_length_exceeded")],
)
def test_refusals_with_a_name_say_it(api: Api, changes: dict[str, Any], code: str) -> None:
    """Programs can tell an unknown model and a prompt that can't fit from other mistakes."""
    response = api.post("/v1/jobs", json={"type": "generate", "input": {"prompt": "one"}, **changes})
    assert response.json["error"]["code"] == code


def test_extremes_that_are_allowed_are_taken(api: Api) -> None:
    """Each limit itself is within the limits."""
    least = {"max_tokens": 1, "temperature": 0, "top_k": 0, "min_p": 0, "seed": 0, "stop": []}
    most = {
        "max_tokens": 1_000_000, "temperature": 2, "top_p": 1, "top_k": 1000, "min_p": 1, "repetition_penalty": 2,
        "seed": 2**31 - 1, "stop": ["x" * 64] * 8,
    }  # fmt: skip
    metadata = {f"{i:064}": "v" * 512 for i in range(16)}
    api.submit(params=least, priority=0, lane="batch")
    api.submit(params=most, priority=9, metadata=metadata, input={"prompt": LONG})
