"""What stands between a prompt and its suffix: asked for in each dialect, of models that can."""

from pathlib import Path
from typing import Any

import pytest
import redis
from flask import Flask

from db.session import Sessions
from tests.support import catalogs
from tests.webapi import byhand
from tests.webapi.conftest import CATALOG, Api

PROMPT, SUFFIX = "one two", "four"
ASKED: list[tuple[str, dict[str, Any]]] = [
    ("/v1/completions", {"prompt": PROMPT, "suffix": SUFFIX}),
    ("/api/generate", {"prompt": PROMPT, "suffix": SUFFIX, "stream": False}),
    ("/v1/jobs", {"type": "generate", "input": {"prompt": PROMPT, "suffix": SUFFIX}}),
]


@pytest.fixture
def between(app: Flask, catalog_file: Path) -> str:
    """A catalogue with a model whose vocabulary has the tokens."""
    del app  # which writes its own
    model = catalogs.model(
        "gamma", "llamacpp", "generate chat infill", context=64, slots=1, file=str(catalogs.DEMO_FILE)
    )
    catalog_file.write_text(f"{CATALOG}\n{model}")
    return "gamma"


@pytest.mark.parametrize(("path", "asked"), ASKED)
def test_job_has_both_texts(
    api: Api, sessions: Sessions, client: redis.Redis, between: str, path: str, asked: dict[str, Any]
) -> None:
    """A prompt to be continued, also where the model has a chat template."""
    with byhand.working(sessions, client, byhand.in_two_words) as jobs:
        answer = api.post(path, json={"model": between, **asked})
        if answer.status_code == 202:
            answer = api.get(f"{answer.json['links']['self']}?wait=60")
    assert answer.status_code < 300, answer.text
    assert [(job.type, job.input) for job in jobs] == [("generate", {"prompt": PROMPT, "suffix": SUFFIX})]


@pytest.mark.parametrize(("path", "asked"), ASKED)
def test_model_that_can_not_is_named(api: Api, path: str, asked: dict[str, Any]) -> None:
    """Before a job is made."""
    answer = api.post(path, json={"model": "alpha", **asked})
    assert answer.status_code in (400, 422)
    assert "alpha can't heed it: it has no suffix" in answer.text
    assert api.get("/v1/jobs").json["data"] == []


def test_each_prompt_has_the_suffix(api: Api, sessions: Sessions, client: redis.Redis, between: str) -> None:
    """Several are children of one job."""
    given = {"model": between, "prompt": ["one", "two"], "suffix": SUFFIX}
    answer = api.post("/v1/completions", json=given, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202, answer.text


def test_prompt_of_token_ids_has_none(api: Api, between: str) -> None:
    """Refused by name: the two are read as texts."""
    answer = api.post("/v1/completions", json={"model": between, "prompt": [1, 2], "suffix": SUFFIX})
    assert (answer.status_code, answer.json["error"]["param"]) == (400, "suffix")


@pytest.mark.parametrize(("path", "asked"), ASKED[:2])
def test_empty_suffix_is_none(
    api: Api, sessions: Sessions, client: redis.Redis, path: str, asked: dict[str, Any]
) -> None:
    """Clients send one by default."""
    with byhand.working(sessions, client, byhand.in_two_words) as jobs:
        answer = api.post(path, json={"model": "alpha", **asked, "suffix": ""})
    assert answer.status_code == 200, answer.text
    assert "suffix" not in jobs[0].input


def test_ollamas_clients_see_that_it_inserts(api: Api, between: str) -> None:
    assert api.post("/api/show", json={"model": between}).json["capabilities"] == ["completion", "tools", "insert"]
    assert api.post("/api/show", json={"model": "alpha"}).json["capabilities"] == ["completion"]
