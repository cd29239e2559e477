"""Odd values in every field of the smaller dialects: refused, or as harmless as they look, and never our fault."""

from typing import Any

import pytest
import redis
from flask import Flask

from db.session import Sessions
from tests.webapi import byhand, page
from tests.webapi.conftest import Api
from tests.webapi.page import Operation

ODD: list[Any] = [
    None, True, 0, -1, 1.5, 10**17, "", " ", "x", "x\u2028y", "1e999", [], [None], ["x"], [[1]], {}, {"": None},
    {"type": "x", "properties": [1]}, [{"role": "user"}], [{"function": {}}], [{"role": "tool", "content": "x"}],
]  # fmt: skip
TAGS = ("/api/", "/v1/rag/", "/v1/predictions", "/v1/models/", "/v1/messages")


def asked(operation: Operation) -> list[dict[str, Any]]:
    """The example with an odd value in one of its fields each."""
    places = [place.removeprefix("json ") for place in operation.places if place.startswith("json ")]
    if operation.path != "/api/generate":  # which has the options of all
        places = [place for place in places if not place.startswith("options.")]
    bodies = []
    for place in dict.fromkeys([*places, *(place.partition(".")[0] for place in places)]):
        for value in ODD:
            body = {**operation.example}
            first, _, rest = place.partition(".")
            body[first] = _nested(rest.split("."), value) if rest else value
            bodies.append(body)
    return bodies


def _nested(names: list[str], value: Any) -> Any:
    return {names[0]: _nested(names[1:], value)} if names else value


@pytest.mark.parametrize("start", TAGS)
def test_no_odd_value_is_our_fault(app: Flask, api: Api, sessions: Sessions, client: redis.Redis, start: str) -> None:
    """Whatever is accepted is answered, and whatever is answered is on the page."""
    tried = 0
    with byhand.working(sessions, client, byhand.in_two_words):
        for operation in page.served(app):
            if not operation.path.startswith(start) or not operation.example:
                continue
            for body in asked(operation):
                response = api.ask(operation.method, operation.url("me", "alpha"), json=body)
                assert response.text is not None
                assert response.status_code in operation.statuses - {500, 503}, (str(operation), body, response.text)
                tried += 1
    assert tried > 100
