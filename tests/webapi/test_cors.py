"""Pages of other origins: what their browsers may read, which is nothing unless it is set."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis
from flask import Flask
from werkzeug.test import TestResponse

from db.session import Sessions
from tests.webapi.conftest import Api, new_key
from tests.webapi.serving import gunicorn
from webapi.app import create_app
from webapi.settings import Settings

OURS, OTHER = "https://app.example.com", "https://evil.example"
SENDABLE = {"authorization", "content-type", "last-event-id", "idempotency-key", "prefer", "x-request-id"}
READABLE = {"location", "retry-after", "idempotency-replayed", "preference-applied", "x-request-id"}


@pytest.fixture
def cross(settings: Settings, sessions: Sessions, client: redis.Redis) -> Iterator[Api]:
    """The API with one origin allowed."""
    app = create_app(replace(settings, cors_origins=frozenset({OURS, "http://localhost:3000"})))
    yield Api(app, new_key(sessions, "ours"))
    app.extensions["forebay"].close()


def preflight(app: Flask, path: str, origin: str = OURS) -> TestResponse:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    return app.test_client().options(path, headers=headers)


def named(response: TestResponse, header: str) -> set[str]:
    return {name.strip().lower() for name in response.headers.get(header, "").split(",")}


def marks(response: TestResponse) -> list[str]:
    return [name for name, _ in response.headers if name.lower().startswith("access-control-")]


def test_without_the_setting_nothing_is_marked_and_nothing_opened(app: Flask, api: Api) -> None:
    """As if there were no such thing: a preflight wants a key like everything else."""
    refused = preflight(app, "/v1/jobs")
    answered = api.get("/v1/jobs", headers={"Origin": OURS})
    assert (refused.status_code, answered.status_code) == (401, 200)
    assert marks(refused) + marks(answered) == []
    assert "Vary" not in answered.headers


def test_preflight_of_every_route_is_answered_without_a_key(cross: Api) -> None:
    """It says which methods the path has, and which headers may be sent."""
    for rule in cross.app.url_map.iter_rules():
        response = preflight(cross.app, rule.rule.replace("<job_id>", "job_x"))
        assert (response.status_code, response.data) == (200, b""), rule
        assert response.headers["Access-Control-Allow-Origin"] == OURS
        assert named(response, "Access-Control-Allow-Headers") == SENDABLE
        assert named(response, "Access-Control-Allow-Methods") >= {"options"} | {
            method.lower() for method in rule.methods or ()
        }
        assert int(response.headers["Access-Control-Max-Age"]) > 0
    assert preflight(cross.app, "/v1/nothing").status_code == 404


def test_answers_can_be_read_by_the_origin_that_is_named(cross: Api) -> None:
    """With the headers that a client needs, and never with cookies."""
    job = {"type": "generate", "input": {"prompt": "one"}}
    response = cross.post("/v1/jobs", json=job, headers={"Origin": OURS})
    assert (response.status_code, response.headers["Access-Control-Allow-Origin"]) == (202, OURS)
    assert named(response, "Access-Control-Expose-Headers") == READABLE
    assert "Access-Control-Allow-Credentials" not in response.headers
    assert "Access-Control-Allow-Methods" not in response.headers


@pytest.mark.parametrize(
    "origin", [OTHER, "null", OURS + ".evil.example", OURS + ":8443", "http://app.example.com", ""]
)
def test_other_origins_can_read_nothing(cross: Api, origin: str) -> None:
    """Only what is named to the letter; caches are told that the answer depends on who asks."""
    for response in (preflight(cross.app, "/v1/jobs", origin), cross.get("/v1/jobs", headers={"Origin": origin})):
        assert marks(response) == []
        assert named(response, "Vary") == {"origin"}


def test_preflight_opens_no_view(cross: Api) -> None:
    """Without a key a page learns of the methods, and no more."""
    job = cross.submit()
    response = preflight(cross.app, f"/v1/jobs/{job['id']}/cancel")
    assert (response.status_code, response.data) == (200, b"")
    assert cross.job(job["id"])["status"] == "queued"
    assert cross.app.test_client().get("/v1/jobs", headers={"Origin": OURS}).status_code == 401


def test_errors_can_be_read_too(cross: Api, settings: Settings) -> None:
    """A page that is refused learns why: without a key, for a wrong field, a page that isn't there, or no database."""
    nowhere = replace(settings.shared, database_url="postgresql://postgres@/x?host=/nowhere")
    app = create_app(replace(settings, shared=nowhere, cors_origins=frozenset({OURS})))
    origin = {"Origin": OURS}
    responses = [
        cross.app.test_client().get("/v1/jobs", headers=origin),
        cross.post("/v1/jobs", json={}, headers=origin),
        cross.get("/v1/nothing", headers=origin),
        cross.ask("DELETE", "/v1/jobs", headers=origin),
        Api(app, cross.key).get("/v1/jobs", headers=origin),
    ]
    assert [response.status_code for response in responses] == [401, 422, 404, 405, 503]
    assert {response.headers["Access-Control-Allow-Origin"] for response in responses} == {OURS}
    assert all(named(response, "Access-Control-Expose-Headers") == READABLE for response in responses)
    app.extensions["forebay"].close()


def test_any_origin_can_be_allowed(settings: Settings, sessions: Sessions, client: redis.Redis) -> None:
    """`*` says so to browsers, whoever asks."""
    app = create_app(replace(settings, cors_origins=frozenset({"*"})))
    response = Api(app, new_key(sessions, "ours")).get("/v1/jobs", headers={"Origin": OTHER})
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert preflight(app, "/v1/jobs", OTHER).headers["Access-Control-Allow-Origin"] == "*"
    app.extensions["forebay"].close()


def test_page_follows_a_job_with_a_ticket(
    settings: Settings, sessions: Sessions, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is deployed: a preflight, a ticket, and the stream as an EventSource of the page asks for it."""
    monkeypatch.setenv("FOREBAY_CORS_ORIGINS", f"{OURS}, http://localhost:3000")
    origin = {"Origin": OURS}
    with gunicorn(settings, new_key(sessions, "ours")) as served:
        del served.client.headers["Authorization"]
        path = "/v1/jobs"
        asked = served.client.options(path, headers={**origin, "Access-Control-Request-Method": "POST"})
        assert (asked.status_code, asked.headers["Access-Control-Allow-Origin"]) == (200, OURS)
        key = {**origin, "Authorization": f"Bearer {served.key}"}
        job = served.client.post(path, json={"type": "generate", "input": {"prompt": "one"}}, headers=key).json()
        ticket = served.client.post(f"{path}/{job['id']}/ticket", headers=key).json()["ticket"]
        served.client.post(f"{path}/{job['id']}/cancel", headers=key)
        stream = served.client.get(f"{path}/{job['id']}/events", params={"ticket": ticket}, headers=origin)
        assert (stream.status_code, stream.headers["Access-Control-Allow-Origin"]) == (200, OURS)
        assert "event: cancelled" in stream.text
        resumed = {**origin, "Last-Event-ID": "1-1"}
        again = served.client.get(f"{path}/{job['id']}/events", params={"ticket": ticket}, headers=resumed)
        assert (again.status_code, again.headers["Access-Control-Allow-Origin"]) == (204, OURS)
