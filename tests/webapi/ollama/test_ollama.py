"""Ollama's dialect, with a worker's part done by hand."""

import json
from pathlib import Path
from typing import Any

import pytest
import redis
from flask import Flask

from db.jobs import Job
from db.session import Sessions
from tasks import errors
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.limits.spent import Spent
from tasks.models.logprobs import Logprob
from tasks.streams.events import Delta, Event, ToolCall
from tests import tables
from tests.support import catalogs, entries
from tests.webapi import byhand
from tests.webapi.conftest import CATALOG, Api
from webapi.ollama.render import Lines

CALL = {"id": "call_1", "name": "add", "arguments": '{"a": 1}'}
ADD = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


def calling(job: Job) -> tuple[list[Event], Outcome]:
    """Wants a function called."""
    del job
    message = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    result = {"message": message, "finish_reason": "tool_calls"}
    return [ToolCall(0, **CALL)], Outcome(Status.SUCCEEDED, Spent(2, 2), result)


def likely(job: Job) -> tuple[list[Event], Outcome]:
    """Says how likely its word was."""
    told = Logprob("one", -0.5, (Logprob("one", -0.5), Logprob("two", -1.5)))
    del job
    result = {"text": "one", "finish_reason": "stop", "logprobs": [told.plain()]}
    return [Delta("one", Spent(completion=1), logprobs=(told,))], Outcome(Status.SUCCEEDED, Spent(2, 1), result)


def failed(job: Job) -> tuple[list[Event], Outcome]:
    del job
    return [entries.said("one")], Outcome(
        Status.FAILED, Spent(2, 1), error=(errors.ContextLengthExceeded.code, "too long")
    )


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def shaping(app: Flask, catalog_file: Path) -> None:
    """A catalogue with a model that heeds grammars."""
    del app  # which writes its own
    catalog_file.write_text(f"{CATALOG}\n{catalogs.demo('gamma')}")


def test_prompt_is_put_to_the_chat_template(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    """Whole: with what it took, in nanoseconds."""
    options = {"num_predict": 5, "temperature": 0, "repeat_penalty": 1.1, "seed": -1, "stop": ["x"], "num_ctx": 64}
    given = {"model": "alpha:latest", "prompt": "zero", "system": "Be brief.", "stream": False, "options": options}
    with byhand.working(sessions, client, byhand.in_two_words) as jobs:
        answer = api.post("/api/generate", json=given)
    assert answer.status_code == 200, answer.text
    told = dict(answer.json)
    assert [told.pop(name) >= 0 for name in ("total_duration", "load_duration", "eval_duration")] == [True] * 3
    assert told.pop("created_at").endswith("Z")
    assert told == {
        "model": "alpha:latest",
        "response": "one two",
        "done": True,
        "done_reason": "length",
        "prompt_eval_count": 2,
        "eval_count": 2,
    }
    [job] = jobs
    roles = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "zero"}]
    assert (job.type, job.model, job.input) == ("chat", "alpha", {"messages": roles})
    drawn = {"temperature": 0, "repetition_penalty": 1.1}
    assert job.params == {**drawn, "max_tokens": 5, "seed": 2**31 - 1, "stop": ["x"]}


@pytest.mark.parametrize(("model", "raw"), [("alpha", True), ("beta", False)])
def test_prompt_is_continued_as_it_stands(
    api: Api, sessions: Sessions, client: redis.Redis, model: str, raw: bool
) -> None:
    """Where that is asked for, or the model has no conversations; in lines unless that is refused."""
    with byhand.working(sessions, client, byhand.in_two_words) as jobs:
        answer = api.post("/api/generate", json={"model": model, "prompt": "zero", "raw": raw})
        told = lines(answer.text)
    assert answer.mimetype == "application/x-ndjson"
    assert [(line["response"], line["done"]) for line in told] == [("one", False), (" two", False), ("", True)]
    assert (told[-1]["done_reason"], told[-1]["eval_count"]) == ("length", 2)
    assert (jobs[0].type, jobs[0].input) == ("generate", {"prompt": "zero"})


def test_conversation_is_answered(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    given = {"model": "alpha", "messages": [{"role": "user", "content": "zero", "images": []}], "keep_alive": "5m"}
    with byhand.working(sessions, client, byhand.in_two_words):
        told = lines(api.post("/api/chat", json=given).text)
        whole = api.post("/api/chat", json={**given, "stream": False}).json
    assert [line["message"]["content"] for line in told] == ["one", " two", ""]
    assert whole["message"] == {"role": "assistant", "content": "one two"}


@pytest.mark.usefixtures("shaping")
def test_tools_are_called_with_objects(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    """And what was called before is told to the model under ids, though clients know none."""
    messages = [
        {"role": "user", "content": "1 + 1?"},
        {"role": "assistant", "tool_calls": [{"function": {"name": "add", "arguments": {"a": 1}}}]},
        {"role": "tool", "tool_name": "add", "content": "2"},
    ]
    given = {"model": "gamma", "messages": messages, "tools": [ADD], "format": ""}
    with byhand.working(sessions, client, calling) as jobs:
        told = lines(api.post("/api/chat", json=given).text)
        whole = api.post("/api/chat", json={**given, "stream": False}).json
    called = [{"id": "call_1", "function": {"name": "add", "arguments": {"a": 1}}}]
    assert told[0]["message"]["tool_calls"] == whole["message"]["tool_calls"] == called
    assert (told[-1]["done_reason"], whole["done_reason"]) == ("stop", "stop")
    said = jobs[0].input["messages"]
    assert said[1]["tool_calls"] == [{**CALL, "arguments": '{"a":1}'}]
    assert said[2] == {"role": "tool", "content": "2", "tool_call_id": "call_1"}
    assert jobs[0].input["tools"] == [{"name": "add", "description": None, "parameters": {"type": "object"}}]


@pytest.mark.usefixtures("shaping")
@pytest.mark.parametrize(("format", "shape"), [("json", None), ({"type": "object"}, {"type": "object"})])
def test_format_is_the_shape_of_the_answer(
    api: Api, sessions: Sessions, client: redis.Redis, format: Any, shape: Any
) -> None:
    with byhand.working(sessions, client, byhand.in_two_words) as jobs:
        answer = api.post("/api/generate", json={"model": "gamma", "prompt": "x", "format": format})
        assert lines(answer.text)[-1]["done"]
    assert jobs[0].params == {"shape": {"schema": shape}}


def test_likelihoods_are_told(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    given = {"model": "alpha", "prompt": "x", "raw": True, "logprobs": True, "top_logprobs": 2}
    with byhand.working(sessions, client, likely):
        first, _ = lines(api.post("/api/generate", json=given).text)
        whole = api.post("/api/generate", json={**given, "stream": False}).json
    assert first["logprobs"] == whole["logprobs"]
    [token] = whole["logprobs"]
    assert (token["token"], token["logprob"], len(token["top_logprobs"])) == ("one", -0.5, 2)


def test_texts_are_embedded(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    with byhand.working(sessions, client, byhand.in_two_words):
        two = api.post("/api/embed", json={"model": "embedder", "input": ["x", "y"], "truncate": True}).json
        one = api.post("/api/embeddings", json={"model": "embedder:latest", "prompt": "x"}).json
    assert two["embeddings"] == [[1, 0, 0, 0], [0, 1, 0, 0]]
    assert (two["model"], two["prompt_eval_count"]) == ("embedder", 3)
    assert one == {"embedding": [1, 0, 0, 0]}


@pytest.mark.parametrize("path", ["/api/generate", "/api/chat"])
def test_nothing_asked_is_answered_at_once(api: Api, path: str) -> None:
    """Ollama's clients have a model loaded so."""
    told = api.post(path, json={"model": "alpha", "keep_alive": -1}).json
    assert (told["done"], told["done_reason"]) == (True, "load")
    assert api.get("/v1/jobs").json["data"] == []


def test_what_keeps_a_connection_open_is_seen_by_no_reader() -> None:
    """Not even where it stands before a line: JSON has spaces where it likes."""
    told = Lines("alpha", chats=False)
    text = (told.waiting(None) * 3 + told.event(0, entries.said("one"))).decode()
    assert [line["response"] for line in lines(text)] == ["one"]


def test_failure_is_a_status_or_a_line(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    given = {"model": "alpha", "prompt": "x"}
    with byhand.working(sessions, client, failed):
        whole = api.post("/api/generate", json={**given, "stream": False})
        streamed = lines(api.post("/api/generate", json=given).text)
    assert (whole.status_code, whole.json) == (400, {"error": "too long"})
    assert streamed[-1] == {"error": "too long"}


GENERATE = {"model": "alpha", "prompt": "x"}
CHAT = {"model": "alpha", "messages": [{"role": "user", "content": "x"}]}


@pytest.mark.parametrize(
    ("path", "given", "status", "named"),
    [
        ("/api/generate", {"prompt": "x"}, 400, "model: "),
        ("/api/generate", GENERATE | {"model": "nobody"}, 404, "model 'nobody' not found"),
        ("/api/generate", GENERATE | {"suffix": "y"}, 400, "suffix: "),
        ("/api/generate", GENERATE | {"images": ["aGk="]}, 400, "images: "),
        ("/api/generate", GENERATE | {"template": "{{ .Prompt }}"}, 400, "template: "),
        ("/api/generate", GENERATE | {"context": [1, 2]}, 400, "context: "),
        ("/api/generate", GENERATE | {"think": True}, 400, "think: "),
        ("/api/generate", GENERATE | {"raw": True, "system": "Be."}, 400, "system: "),
        ("/api/generate", GENERATE | {"format": "xml"}, 400, "format: "),
        ("/api/generate", GENERATE | {"format": "json"}, 400, "format: "),
        ("/api/generate", GENERATE | {"format": {"$ref": "#"}}, 400, "format: it refers to itself"),
        ("/api/generate", GENERATE | {"options": {"num_ctx": 65}}, 400, "options.num_ctx: "),
        ("/api/generate", GENERATE | {"options": {"mirostat": 2}}, 400, "options.mirostat: "),
        ("/api/generate", GENERATE | {"options": {"temperature": 9}}, 400, "options.temperature: "),
        ("/api/generate", GENERATE | {"options": {"repeat_penalty": 1.2, "repeat_last_n": 9}}, 400, "options.repeat_"),
        ("/api/generate", {"model": "embedder", "prompt": "x"}, 400, '"embedder" does not support generate'),
        ("/api/chat", CHAT | {"model": "beta"}, 400, '"beta" does not support chat'),
        ("/api/chat", CHAT | {"tools": [ADD]}, 400, "tools: "),
        ("/api/chat", {"model": "alpha", "messages": [{"role": "user", "content": ""}]}, 400, "messages.0.content: "),
        ("/api/embed", {"model": "alpha", "input": "x"}, 400, '"alpha" does not support embed'),
        ("/api/embed", {"model": "embedder", "input": ""}, 400, "input: "),
        ("/api/embed", {"model": "embedder", "input": "x", "dimensions": 2}, 400, "dimensions: "),
        ("/api/embed", {"model": "embedder", "input": "x" * 64 * 65}, 400, "input.0: "),
        ("/api/show", {}, 400, "model is required"),
        ("/api/show", {"model": "nobody"}, 404, "model 'nobody' not found"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(
    api: Api, path: str, given: dict[str, Any], status: int, named: str
) -> None:
    response = api.post(path, json=given)
    assert (response.status_code, list(response.json)) == (status, ["error"])
    assert response.json["error"].startswith(named)


def test_no_texts_have_no_vectors(api: Api) -> None:
    """And are no job: a worker could make nothing of them."""
    answer = api.post("/api/embed", json={"model": "embedder", "input": []})
    assert (answer.status_code, answer.json["embeddings"]) == (200, [])
    assert api.get("/v1/jobs").json["data"] == []


def test_what_means_nothing_here_is_left_out(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    """Options of how a model is held, and fields that nobody knows."""
    options = {"num_gpu": 1, "num_thread": 4, "tfs_z": 1.0, "mirostat": 0, "repeat_last_n": 64, "wish": 1, "seed": None}
    given = {**GENERATE, "raw": True, "options": options, "wish": [1], "keep_alive": 0, "think": False, "suffix": ""}
    with byhand.working(sessions, client, byhand.in_two_words) as jobs:
        answer = api.post("/api/generate", json={**given, "stream": False})
    assert answer.status_code == 200, answer.text
    assert jobs[0].params == {}


def test_body_of_whatever_type_is_read_as_json(api: Api) -> None:
    """As curl sends it, which Ollama's own examples use."""
    for content_type in ("application/x-www-form-urlencoded", "text/plain"):
        response = api.post("/api/show", data='{"name": "alpha"}', content_type=content_type)
        assert response.status_code == 200, response.text


def test_models_are_listed_and_shown(api: Api, sessions: Sessions, catalog_file: Path) -> None:
    catalog_file.write_text(f"{CATALOG}\n{catalogs.demo('gamma')}")
    tables.worker(sessions, model="alpha")
    tags, running = api.get("/api/tags").json["models"], api.get("/api/ps").json["models"]
    assert [tag["name"] for tag in tags] == ["alpha", "beta", "embedder", "reranker", "gamma"]
    assert (tags[4]["size"] > 0, tags[4]["details"]["quantization_level"]) == (True, "Q8_0")
    assert [(one["model"], one["context_length"]) for one in running] == [("alpha", 64)]
    shown = {name: api.post("/api/show", json={"model": name}).json for name in ("alpha:latest", "embedder", "gamma")}
    assert [one["capabilities"] for one in shown.values()] == [["completion"], ["embedding"], ["completion", "tools"]]
    assert shown["embedder"]["model_info"]["forebay.context_length"] == 64
    assert api.get("/api/version").json.keys() == {"version"}


def test_key_is_asked_for_in_its_words(api: Api) -> None:
    response = api.get("/api/tags", headers={"Authorization": "Bearer none"})
    assert (response.status_code, list(response.json)) == (401, ["error"])
