"""Schemas are read in turn, by tenant, and not for ever."""

from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from tests.support import catalogs
from tests.webapi.conftest import CATALOG, Api
from webapi import shaping

ASYNC = {"Prefer": "respond-async"}


def ask(api: Api, *schemas: dict[str, Any]) -> TestResponse:
    """A chat with a tool for each schema."""
    tools = [
        {"type": "function", "function": {"name": f"f{number}", "parameters": schema}}
        for number, schema in enumerate(schemas)
    ]
    given = {"model": "gamma", "messages": [{"role": "user", "content": "x"}], "tools": tools}
    return api.post("/v1/chat/completions", json=given, headers=ASYNC)


@pytest.fixture(autouse=True)
def _shaping(app: Flask, catalog_file: Path) -> None:
    """A catalogue with a model that heeds grammars."""
    del app  # which writes its own
    catalog_file.write_text(f"{CATALOG}\n{catalogs.demo('gamma')}")


def test_tenant_whose_schemas_are_slow_keeps_others_from_nothing(app: Flask, theirs: Api) -> None:
    """One alone gets all places but one, and whoever comes finds that."""
    places = app.extensions["forebay"].shaping
    places.take("slow")
    places.take("slow")
    assert not places._may("slow")
    assert ask(theirs, {"type": "object", "properties": {"a": {"type": "integer"}}}).status_code == 202


def test_schemas_of_one_request_have_a_time_together(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may take some seconds, and there may be a hundred and twenty-eight."""
    monkeypatch.setattr(shaping, "TOGETHER_S", -1.0)
    refused = ask(api, {"type": "object"})
    assert (refused.status_code, refused.json["error"]["param"]) == (400, "tools.0.function.parameters")
    assert "too much time" in refused.json["error"]["message"]
