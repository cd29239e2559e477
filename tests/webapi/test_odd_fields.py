"""Every field of the page with what its clients never send: an answer that the page has, and never a 5xx."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.support import catalogs
from tests.webapi import page
from tests.webapi.conftest import CATALOG, Api
from tests.webapi.page import Operation

ODD: list[Any] = [
    True,
    -1,
    10**17,
    1e308,
    "",
    "\u2028\ufeff\u0663",
    "x" * 5000,
    [],
    {},
    [None],
    [{"a": 1}],
    {"type": "function"},
]
# They have their answer only when a worker has made it.
WAITING = ("/api/", "/v1/rag/chat", "/v1/search", "/v1/rerank", "/v1/functions", "/v1/messages", "/v1/batches/check")


@pytest.fixture
def operations(app: Flask, catalog_file: Path) -> list[Operation]:
    """Those that make something, with a model that heeds everything in their examples."""
    catalog_file.write_text(f"{CATALOG}\n{catalogs.demo('gamma')}")
    return [
        operation
        for operation in page.served(app)
        if operation.method == "POST"
        and operation.example
        and not operation.nouns
        and not operation.path.startswith(WAITING)
    ]


def fields(operation: Operation) -> Iterator[tuple[str, ...]]:
    """The path of every field, and of all that it stands in."""
    paths = [tuple(place.removeprefix("json ").split(".")) for place in operation.places if place.startswith("json ")]
    return iter(dict.fromkeys(path[:depth] for path in paths for depth in range(1, len(path) + 1)))


def changed(example: Any, path: tuple[str, ...], value: Any) -> Any:
    """The example with the value there; what isn't on the way is made."""
    body = copy.deepcopy(example)
    if "model" in body and body["model"] != "embedder":
        body["model"] = "gamma"
    within = body
    for part in path[:-1]:
        inner = within.get(part)
        inner = inner[0] if isinstance(inner, list) and inner else inner
        if not isinstance(inner, dict):
            inner = within[part] = {}
        within = inner
    within[path[-1]] = value
    return body


def test_whatever_is_said_anywhere_is_answered_as_the_page_says(api: Api, operations: list[Operation]) -> None:
    """Where a client may say anything, it may say anything."""
    asked = 0
    for operation in operations:
        for path in fields(operation):
            for value in ODD:
                body = changed(operation.example, path, value)
                answer = api.post(operation.path, json=body, headers={"Prefer": "respond-async"})
                said = (str(operation), path, value, answer.status_code, answer.text[:200])
                assert answer.status_code in operation.statuses, said
                assert answer.status_code < 500, said
                asked += 1
    assert asked > 1000


@pytest.mark.parametrize("odd", ["a\0b", "\0", "2\0"])
def test_what_cannot_be_stored_is_refused_in_every_query(app: Flask, api: Api, odd: str) -> None:
    """Whatever the field, and whether or not the view looks for its value in PostgreSQL."""
    asked = 0
    for operation in page.served(app):
        for place in operation.places:
            if place.startswith("?") and place != "?ticket":  # which is read before, and is a key
                url = operation.url(*["default"] * operation.path.count("{"))
                answer = api.ask(operation.method, url, query_string={place[1:]: odd})
                said = (str(operation), place, answer.status_code, answer.text[:200])
                assert answer.status_code in operation.statuses & {400, 422}, said
                assert place[1:] in answer.text, said
                asked += 1
    assert asked > 20
