"""What is said of fields that we don't have: their name here, or how we do what they ask for."""

import io
from typing import Any

import pytest

from dialects import hints
from dialects.fields import load
from tasks.errors import InvalidField
from tests.webapi.conftest import Api
from webapi.v1.jobs.requests import KINDS

GENERATE = {"type": "generate", "input": {"prompt": "one"}}
CHAT = {"type": "chat", "input": {"messages": [{"role": "user", "content": "one"}]}}
PATHS = ["lane", "params", "params.max_tokens", "params.temperature", "input", "input.url", "url"]

JOBS = [
    (GENERATE | {"params": {"repeat_penalty": 1.1}}, "params.repeat_penalty", "did you mean repetition_penalty?"),
    (GENERATE | {"params": {"num_predict": 1}}, "params.num_predict", "did you mean max_tokens?"),
    (GENERATE | {"params": {"n_predict": 1}}, "params.n_predict", "did you mean max_tokens?"),
    (GENERATE | {"params": {"max_new_tokens": 1}}, "params.max_new_tokens", "did you mean max_tokens?"),
    (GENERATE | {"params": {"max_completion_tokens": 1}}, "params.max_completion_tokens", "did you mean max_tokens?"),
    (GENERATE | {"params": {"stop_sequences": ["x"]}}, "params.stop_sequences", "did you mean stop?"),
    (GENERATE | {"params": {"temprature": 1}}, "params.temprature", "did you mean temperature?"),
    (GENERATE | {"params": {"presence_penality": 1}}, "params.presence_penality", "did you mean presence_penalty?"),
    (GENERATE | {"temperature": 1}, "temperature", "did you mean params.temperature?"),
    (GENERATE | {"max_new_tokens": 1}, "max_new_tokens", "did you mean params.max_tokens?"),
    (GENERATE | {"stream": True}, "stream", "follow GET /v1/jobs/{id}/events"),
    (GENERATE | {"params": {"stream": True}}, "params.stream", "follow GET /v1/jobs/{id}/events"),
    (GENERATE | {"modle": "alpha"}, "modle", "did you mean model?"),
    (GENERATE | {"callback_url": "x"}, "callback_url", "did you mean webhook.url?"),
    ({"type": "generate", "prompt": "one"}, "prompt", "did you mean input.prompt?"),
    ({"type": "generate", "messages": []}, "messages", "of the type chat"),
    ({"type": "generate", "imput": {}}, "imput", "did you mean input?"),
    ({"type": "chat", "messages": []}, "messages", "did you mean input.messages?"),
    ({"type": "chat", "input": {"prompt": "one"}}, "input.prompt", "of the type generate"),
    (CHAT | {"system": "be brief"}, "system", "a message with the role system"),
    ({"type": "rag", "input": {"query": "Who?", "collection": "x"}}, "input.query", "did you mean question?"),
]


@pytest.mark.parametrize(("given", "field", "said"), JOBS)
def test_unknown_field_of_a_job_is_told_what_it_is_called_here(given: dict[str, Any], field: str, said: str) -> None:
    """Also where it is why a required field is missing."""
    with pytest.raises(InvalidField) as refused:
        load(KINDS[given["type"]], given)
    assert refused.value.field == field
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("method", "path", "options", "field", "said"),
    [
        ("POST", "/v1/jobs", {"json": GENERATE | {"top_p": 1}}, "top_p", "params.top_p"),
        ("POST", "/v1/search", {"json": {"collection": "x", "question": "y"}}, "question", "query"),
        ("POST", "/v1/documents", {"json": {"collectoin": "x", "documents": []}}, "collectoin", "collection"),
        ("POST", "/v1/documents", {"data": {"colection": "x"}}, "colection", "collection"),
        ("POST", "/v1/webhooks", {"json": {"url": "https://example.com", "event": []}}, "event", "events"),
        ("GET", "/v1/jobs?stats=queued&limt=1", {}, "stats", "status"),
    ],
)
def test_every_route_tells_the_near_field(
    api: Api, method: str, path: str, options: dict[str, Any], field: str, said: str
) -> None:
    """JSON, forms and queries alike."""
    if "data" in options:
        options = {"data": {**options["data"], "file": (io.BytesIO(b"one"), "one.txt")}}
    error = api.ask(method, path, **options).json["error"]
    assert (error["code"], error["param"]) == ("invalid_value", field)
    assert error["message"] == f"unknown field; did you mean {said}?"


def test_field_that_is_like_none_of_ours_is_just_unknown() -> None:
    """Nothing is guessed."""
    assert hints.told(["grammar"], PATHS) == ("grammar", "unknown field")


def test_field_that_is_certain_is_told_before_the_others() -> None:
    """Of several unknown fields, the one that can be mended; else the first as it came."""
    assert hints.told(["grammar", "n_predict"], PATHS)[0] == "n_predict"
    assert hints.told(["grammar", "tools"], PATHS)[0] == "grammar"


def test_own_field_is_told_before_one_further_in() -> None:
    """The shortest path of a name is meant."""
    assert hints.told(["callback_url"], PATHS)[1] == "unknown field; did you mean url?"


def test_hostile_names_are_compared_with_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparing takes long for long names: at most one name is compared, and none of more than 64 characters."""
    compared = []
    monkeypatch.setattr(hints.difflib, "get_close_matches", lambda name, *_: compared.append(name) or [])
    assert hints.told(["temperature" * 100_000], PATHS)[1] == "unknown field"
    assert compared == []
    hints.told([f"temperatur{i}" for i in range(20_000)], PATHS)
    assert compared == ["temperatur0"]
