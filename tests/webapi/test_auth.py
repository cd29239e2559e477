"""Keys and tenants: closed by default, and nobody learns of another's jobs."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from db.session import Sessions
from tasks import keys
from tests.webapi.conftest import Api, new_key
from webapi import auth

OPEN = {"/healthz", "/readyz", "/openapi.json", "/docs/", "/docs/<path:path>"}


def routes(app: Flask) -> Iterator[tuple[str, str]]:
    """Every route of the app: its rule and one of its methods."""
    for rule in app.url_map.iter_rules():
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            yield rule.rule, method


def path(rule: str, **parts: str) -> str:
    """The rule's path, with these parts in the places of its parameters."""
    return re.sub(r"<(?:path:)?(\w+)>", lambda place: parts.get(place[1], "x"), rule)


def test_every_route_but_the_open_ones_wants_a_key(app: Flask, api: Api) -> None:
    """A route added tomorrow is closed unless somebody opens it."""
    job = api.submit()
    for rule, method in routes(app):
        response = app.test_client().open(path(rule, job_id=job["id"]), method=method)
        expected = {200, 404} if rule in OPEN else {401}
        assert response.status_code in expected, rule
        if response.status_code == 401:
            assert response.headers["WWW-Authenticate"] == "Bearer"
            assert response.json["error"]["code"] == "unauthorized"


@pytest.mark.parametrize(
    "header",
    [
        "", "Bearer", "Bearer ", "Bearer x", "Basic fb_x", "Bearer fb_0000000000_" + "A" * 43, "Bearer fb_' OR 1=1 --",
        "Bearer " + "x" * 8000, "Bearer fb_\xff\xfe", "Token abc",
    ],
)  # fmt: skip
def test_no_good_key_is_a_401(app: Flask, header: str) -> None:
    """Missing, malformed, unknown: one answer, which names no reason an attacker could use."""
    response = app.test_client().get("/v1/jobs", headers={"Authorization": header})
    assert (response.status_code, response.json["error"]["field"]) == (401, None)


def test_wrong_secret_of_a_known_key_is_a_401(app: Flask, api: Api) -> None:
    """The readable part of a key opens nothing."""
    key = api.key[:-1] + ("A" if api.key[-1] != "A" else "B")
    assert Api(app, key).get("/v1/jobs").status_code == 401


def test_scheme_is_read_in_any_case(app: Flask, api: Api) -> None:
    """RFC 9110: the name of a scheme has no case."""
    response = app.test_client().get("/v1/jobs", headers={"Authorization": f"bearer {api.key}"})
    assert response.status_code == 200


def test_revoked_key_stops_working(app: Flask, api: Api, sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    """A good key is remembered for two seconds and no longer."""
    assert api.get("/v1/jobs").status_code == 200
    with sessions.begin() as session:
        keys.revoke(session, api.key.split("_")[1])
    assert auth.REMEMBER_S <= 5
    later = auth.time.monotonic() + auth.REMEMBER_S
    monkeypatch.setattr(auth.time, "monotonic", lambda: later)
    assert api.get("/v1/jobs").status_code == 401


def test_new_key_works_at_once(app: Flask, sessions: Sessions) -> None:
    """That a key was unknown a moment ago is not remembered."""
    made = new_key(sessions, "ours")
    wrong = made[:-3] + "xyz"
    assert Api(app, wrong).get("/v1/jobs").status_code == 401
    assert Api(app, made).get("/v1/jobs").status_code == 200


def test_remembered_keys_are_bounded_and_kept_as_digests() -> None:
    """However many keys come by, memory stays small, and holds none of them in clear."""
    known = auth.KnownKeys()
    caller = keys.Caller(tenant_id=auth.keys.ids.new(), key_id="x")
    for i in range(10_050):
        known.put(f"key{i}", caller)
    assert len(known._known) <= 10_000
    assert known.get("key10049") == caller
    assert all(isinstance(digest, bytes) and len(digest) == 32 for digest in known._known)


def test_what_is_another_tenants_is_a_404_like_what_never_was(app: Flask, api: Api, theirs: Api) -> None:
    """Over every route with an id or a name in it: same status, body and headers."""
    job, document = api.submit(), api.bring()
    ours = {"job_id": job["id"], "document_id": document["id"], "name": "books"}
    nobodys = {
        "job_id": job["id"][:-8] + "00000000", "document_id": document["id"][:-8] + "00000000", "name": "nooks",
    }  # fmt: skip
    asked = 0
    for rule, method in routes(app):
        parts = [part for part in ours if f"<{part}>" in rule]
        for part in parts:
            foreign = theirs.ask(method, path(rule, **ours))
            missing = theirs.ask(method, path(rule, **nobodys))
            assert foreign.status_code == missing.status_code == 404, rule
            assert foreign.text.replace(ours[part], nobodys[part]) == missing.text
            assert foreign.headers == missing.headers
            asked += 1
    assert asked >= 7
    assert api.get(f"/v1/jobs/{job['id']}").json["status"] == "queued"
    assert api.get(f"/v1/documents/{document['id']}").json["status"] == "pending"
    assert api.get("/v1/collections/books").json["documents"] == 1


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("GET", "/v1/documents?collection={}", None),
        ("POST", "/v1/search", {"query": "x", "collection": "{}"}),
        ("POST", "/v1/jobs", {"type": "rag", "input": {"question": "x", "collection": "{}"}}),
    ],
)
def test_another_tenants_collection_is_answered_like_none(
    api: Api, theirs: Api, method: str, url: str, body: dict[str, Any] | None
) -> None:
    """Also where it is named in a query or a body."""
    api.bring()
    answers = []
    for name in ("books", "nooks"):
        asked = json.loads(json.dumps(body).replace("{}", name))
        response = theirs.ask(method, url.format(name), json=asked) if asked else theirs.ask(method, url.format(name))
        answers.append((response.status_code, response.text.replace(name, "?")))
    assert answers[0] == answers[1]
    assert answers[0][0] in (404, 422)


def test_another_tenants_documents_are_not_listed(api: Api, theirs: Api) -> None:
    """Lists have one's own, whosever id is the cursor."""
    ours, foreign = api.bring()["id"], theirs.bring()["id"]
    assert [document["id"] for document in api.get("/v1/documents").json["data"]] == [ours]
    assert [document["id"] for document in api.get(f"/v1/documents?after={foreign}").json["data"]] == [ours]
    assert [document["id"] for document in api.get("/v1/documents?collection=books").json["data"]] == [ours]
    assert [made["documents"] for made in api.get("/v1/collections").json["data"]] == [1]


def test_another_tenants_jobs_are_not_listed(api: Api, theirs: Api) -> None:
    """A list has one's own jobs, whosever id is its cursor."""
    ours, foreign = api.submit()["id"], theirs.submit()["id"]
    assert [job["id"] for job in api.get("/v1/jobs").json["data"]] == [ours]
    assert [job["id"] for job in api.get(f"/v1/jobs?after={foreign}").json["data"]] == [ours]


def test_keys_of_one_tenant_see_the_same_jobs(app: Flask, api: Api, sessions: Sessions) -> None:
    """A job belongs to the tenant, not to the key."""
    other = Api(app, new_key(sessions, "ours"))
    assert other.get(f"/v1/jobs/{api.submit()['id']}").status_code == 200
