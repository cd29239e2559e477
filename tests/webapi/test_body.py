"""Hostile bodies: each is refused with a 4xx that says where, and never reaches a schema or the database."""

import json
from typing import Any

import pytest
from flask import Flask, request
from werkzeug.exceptions import RequestEntityTooLarge

from dialects import plainjson
from tasks.errors import Malformed
from tests.webapi import page
from tests.webapi.conftest import Api

MALFORMED = [
    pytest.param(b"", None, id="nothing"),
    pytest.param(b"{", None, id="cut off"),
    pytest.param(b"\xff\xfe{}", None, id="not UTF-8"),
    pytest.param('{"type": "chat"}'.encode("utf-16"), None, id="UTF-16"),
    pytest.param(b'\xef\xbb\xbf{"type": "chat"}', None, id="byte order mark"),
    pytest.param(b'"text"', None, id="a string"),
    pytest.param(b"[]", None, id="a list"),
    pytest.param(b"null", None, id="null"),
    pytest.param(b"NaN", None, id="only NaN"),
    pytest.param(b'{"priority": NaN}', "priority", id="NaN"),
    pytest.param(b'{"params": {"top_p": -Infinity}}', "params.top_p", id="infinity"),
    pytest.param(b'{"params": {"top_p": 1e999}}', "params.top_p", id="infinite by its exponent"),
    pytest.param(b'{"params": {"seed": ' + b"9" * 5000 + b"}}", "params.seed", id="5,000 digits"),
    pytest.param(b'{"type": "chat", "type": "generate"}', "type", id="a key twice"),
    pytest.param(b'{"params": {"seed": 1, "seed": 2}}', "params.seed", id="a key twice inside"),
    pytest.param(b'{"input": {"prompt": "a\\u0000b"}}', "input.prompt", id="NUL"),
    pytest.param(b'{"input": {"prompt": "a\x00b"}}', None, id="raw NUL"),
    pytest.param(b'{"input": {"prompt": "\\ud800"}}', "input.prompt", id="lone surrogate"),
    pytest.param(b'{"input": {"messages": ["ok", "\\udc00"]}}', "input.messages.1", id="lone surrogate in a list"),
    pytest.param(b'{"metadata": {"\\u0000": "x"}}', "metadata", id="NUL in a key"),
    pytest.param(b'{"metadata": {"\\ud800": 1, "\\ud800": 2}}', "metadata.\N{REPLACEMENT CHARACTER}", id="both"),
    pytest.param(b"[" * 100_000, None, id="100,000 lists deep"),
    pytest.param(b'{"a":' * 100_000, "a", id="100,000 objects deep"),
    pytest.param(b'{"a": ' + b"[" * 65 + b"]" * 65 + b"}", "a", id="66 deep"),
    pytest.param(b'{"a": "' + b'\\"' * 100_000 + b"[" * 70, None, id="a string without end"),
]


@pytest.mark.parametrize(("raw", "field"), MALFORMED)
def test_malformed_body_is_a_400_that_says_where(api: Api, raw: bytes, field: str | None) -> None:
    """What isn't strictly one JSON object is refused, with the path of the fault where it has one."""
    response = api.post("/v1/jobs", data=raw, content_type="application/json")
    error = response.json["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, "malformed_body", field)


@pytest.mark.parametrize("depth", [1, 63])
def test_nesting_up_to_the_limit_is_read(depth: int) -> None:
    """Depth is refused beyond 64 levels, not before, and brackets within strings don't count."""
    value: Any = "]" + "[{" * 100 + '\\"['
    for _ in range(depth):
        value = [value]
    assert plainjson.parse(json.dumps({"a": value}).encode(), 1_000) == {"a": value}


def test_many_brackets_side_by_side_are_read() -> None:
    """Only depth is bounded by brackets, not their number."""
    value = {"a": [[{}] for _ in range(1000)]}
    assert plainjson.parse(json.dumps(value).encode(), 4_000) == value


def test_paired_surrogates_are_text() -> None:
    """An escaped pair of surrogates is one character, which is welcome."""
    assert plainjson.parse(rb'{"a": "\ud83d\ude00"}', 1) == {"a": "\N{GRINNING FACE}"}


def test_long_path_is_cut() -> None:
    """A client can't have its own keys echoed back at any length."""
    with pytest.raises(Malformed) as caught:
        plainjson.parse(b'{"' + b"k" * 10_000 + b'": NaN}', 1)
    assert len(caught.value.field or "") == 200


@pytest.mark.parametrize(
    "type_", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", None]
)
def test_other_media_type_is_a_415(api: Api, type_: str | None) -> None:
    """Only JSON in UTF-8 is read, whatever the bytes would mean."""
    response = api.post("/v1/jobs", data=b"{}", content_type=type_)
    assert (response.status_code, response.json["error"]["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/documents"])
@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "nonsense"])
def test_coded_body_is_a_415(api: Api, path: str, coding: str) -> None:
    """Nothing is unpacked here: neither a small body that would be a large one, nor one that isn't what it says."""
    response = api.post(path, data=b"{}", content_type="application/json", headers={"Content-Encoding": coding})
    assert (response.status_code, response.json["error"]["code"]) == (415, "unsupported_media_type")


def test_body_coded_as_itself_is_read(api: Api) -> None:
    """`identity` says that it isn't coded."""
    job = {"type": "generate", "input": {"prompt": "one"}}
    assert api.post("/v1/jobs", json=job, headers={"Content-Encoding": "identity"}).status_code == 202


def test_body_of_fifty_megabytes_is_a_413(api: Api) -> None:
    """A body past the limit is refused by its announced length."""
    response = api.post("/v1/jobs", data=b" " * 50_000_000, content_type="application/json")
    error = response.json["error"]
    assert (response.status_code, error["code"], error["details"]) == (413, "body_too_large", {"max_bytes": 4 * 2**20})


def test_each_route_bounds_the_values_of_its_bodies(api: Api) -> None:
    """What is too many for a webhook is not for a job, which may have 2,048 texts."""
    many = {"unheard_of": [0] * 1_100}
    told = {path: api.post(path, json=many) for path in ("/v1/webhooks", "/v1/search", "/v1/jobs", "/v1/documents")}
    assert {path: response.status_code for path, response in told.items()} == {
        "/v1/webhooks": 400,
        "/v1/search": 400,
        "/v1/jobs": 422,
        "/v1/documents": 422,
    }
    assert told["/v1/search"].json["error"]["message"] == "the body has more than 1000 values"


@pytest.mark.parametrize(("raw", "where", "field"), [
    (b'{"x": "y", "documents": [1, 2, 3, 4, 5]}', (), "documents"),
    (b'{"filter": {"in": [1, 2, 3, 4, 5], "n": "x"}}', (), "filter"),
    (b'{"a": [1, 2], "b": 3, "c": 4, "d": 5}', (), None),
    (b'{"a\\u0062": [1, 2, 3, 4, 5]}', (), None),
    (b' {"deep": ' + b"[" * 70, (), "deep"),
    (b'["x", [1, 2, 3, 4, 5]]', (), None),
    (b'{"k": [1, 2, 3, 4, 5]}', ("metadata",), "metadata.k"),
    (b'{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}', ("metadata",), "metadata"),
])  # fmt: skip
def test_body_of_too_much_names_the_field_that_has_it(raw: bytes, where: tuple[str, ...], field: str | None) -> None:
    """Where it stands in one; a name that is written with escapes isn't worth reading."""
    with pytest.raises(Malformed) as caught:
        plainjson.parse(raw, 67 if b"deep" in raw else 3, where=where)
    assert caught.value.field == field


def test_route_that_declares_no_limits_takes_no_body(app: Flask) -> None:
    """A view that forgot to say what it takes can't read any of it."""
    with app.test_request_context("/v1/models", method="POST", data=b"x"), pytest.raises(RequestEntityTooLarge):
        request.get_data()


TAKE_NOTHING = [("POST", "retry"), ("POST", "cancel"), ("DELETE", "")]


@pytest.mark.parametrize(("method", "what"), TAKE_NOTHING)
def test_field_that_a_route_does_not_take_is_refused_by_its_name(api: Api, method: str, what: str) -> None:
    """Of a route that takes none at all too: a client that gives a retry other params would wait for what never comes.

    What isn't an object of JSON is refused as elsewhere; nothing of it is done.
    """
    path = f"/v1/jobs/{api.submit()['id']}/{what}".rstrip("/")

    def refused(**options: Any) -> tuple[int, str, str | None]:
        response = api.ask(method, path, **options)
        return response.status_code, response.json["error"]["code"], response.json["error"]["param"]

    elsewhere = api.post("/v1/jobs", json={"type": "generate", "input": {"prompt": "x"}, "odd": 1})
    assert refused(json={"odd": 1}) == (elsewhere.status_code, elsewhere.json["error"]["code"], "odd")
    assert refused(data=b"x=1") == (400, "malformed_body", None)
    assert refused(data=b"x" * 100_000)[0] == 413
    assert api.get(path.removesuffix(f"/{what}")).json["status"] != "cancelled"


def test_no_route_takes_a_field_in_silence(app: Flask, api: Api) -> None:
    """Whatever is asked for by POST or DELETE, in each dialect, and before anything is looked for."""
    asked = 0
    for operation in page.served(app):
        takes = any(place.startswith(("json ", "form ")) for place in operation.places) or operation.example is not None
        if operation.method not in ("POST", "DELETE") or takes:
            continue
        answer = api.ask(operation.method, operation.url(*["odd"] * operation.path.count("{")), json={"unheard_of": 1})
        said = (str(operation), answer.status_code, answer.text[:200])
        assert answer.status_code in operation.statuses & {400, 422}, said
        assert "unheard_of" in answer.text, said
        asked += 1
    assert asked > 25


@pytest.mark.parametrize("options", [{}, *({"data": raw} for raw in (b"", b"null", b"[]\n")), {"json": {}}])
def test_no_body_and_what_clients_send_for_none_are_nothing(api: Api, options: dict[str, Any]) -> None:
    job_id = api.submit()["id"]
    for method, what, status in (("POST", "/cancel", 200), ("POST", "/retry", 202), ("DELETE", "", 204)):
        assert api.ask(method, f"/v1/jobs/{job_id}{what}", **options).status_code == status
