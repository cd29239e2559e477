"""Tickets over HTTP: one job's events without a key, and nothing else."""

import logging
from typing import Any

import pytest
import redis
from flask import Flask
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from db.session import Sessions
from tasks import keys, tickets
from tests.webapi import byhand
from tests.webapi.conftest import Api
from tests.webapi.serving import Served
from tests.webapi.test_auth import path, routes
from webapi import auth, serving


@pytest.fixture
def job(api: Api) -> str:
    """A job that has ended."""
    job_id = str(api.submit()["id"])
    api.post(f"/v1/jobs/{job_id}/cancel")
    return job_id


def ticket_of(api: Api, job_id: str) -> str:
    response = api.post(f"/v1/jobs/{job_id}/ticket")
    assert response.status_code == 201, response.text
    return str(response.json["ticket"])


def events(app: Flask, job_id: str, ticket: str, **options: Any) -> TestResponse:
    """What is answered to who has a ticket and no key."""
    return app.test_client().get(f"/v1/jobs/{job_id}/events", query_string={"ticket": ticket}, **options)


def refused(response: TestResponse) -> bool:
    """Whether it is the one answer to a ticket that isn't good, which names it and no reason."""
    return response.status_code == 401 and response.json["error"] == {
        "message": "the ticket is not one for this, or has expired",
        "type": "authentication_error",
        "param": "ticket",
        "code": "unauthorized",
    }


def test_ticket_opens_its_jobs_events_without_a_key(app: Flask, api: Api, job: str) -> None:
    """Again and again, as an EventSource connects; the answer says what it is for."""
    made = api.post(f"/v1/jobs/{job}/ticket")
    assert (made.status_code, made.json["object"], made.json["job"]) == (201, "ticket", job)
    assert set(made.json) == {"object", "ticket", "job", "expires_at"}
    for _ in range(2):
        response = events(app, job, made.json["ticket"])
        assert (response.status_code, response.text.count("event: cancelled")) == (200, 1)
    assert events(app, job, made.json["ticket"], headers={"Last-Event-ID": "1-1"}).status_code == 204


def test_ticket_opens_a_job_that_runs(app: Flask, api: Api, sessions: Sessions, client: redis.Redis) -> None:
    """What it is for: events as they come."""
    job_id = str(api.submit()["id"])
    run = byhand.run(sessions, client, job_id)
    response = events(app, job_id, ticket_of(api, job_id), buffered=False)
    chunks = iter(response.response)
    assert [next(chunks)[:9] for _ in range(2)] == [b": ok\n\n", b"id: 1-1\ne"]
    run.succeed()
    assert b"event: succeeded" in b"".join(chunks)
    response.close()


def test_ticket_for_another_job_is_refused(app: Flask, api: Api, theirs: Api, job: str) -> None:
    """Of the same tenant, of another, one that never was, and what is no id."""
    ticket = ticket_of(api, job)
    for other in (api.submit()["id"], theirs.submit()["id"], job[:-8] + "0" * 8, "nothing"):
        assert refused(events(app, other, ticket)), other


def test_ticket_opens_no_other_route(app: Flask, api: Api, job: str) -> None:
    """Neither the job itself, nor another ticket, nor its end: only its events."""
    ticket, asked = ticket_of(api, job), 0
    for rule, method in routes(app):
        if rule.startswith(("/v1/", "/api/")) and rule != "/v1/jobs/<job_id>/events":
            url = path(rule, job_id=job)
            response = app.test_client().open(url, method=method, query_string={"ticket": ticket})
            assert response.status_code == 401, (method, rule)
            assert "the ticket is not one for this, or has expired" in response.text, (method, rule)
            asked += 1
    assert asked >= 20


def test_altered_ticket_is_refused(app: Flask, api: Api, theirs: Api, job: str) -> None:
    """Another end, another time, another key's name, a key's secret instead, nothing."""
    ticket = ticket_of(api, job)
    made, key_id, expires_s, proof = ticket.split("_", 3)
    other = "A" if proof[0] != "A" else "B"
    altered = [
        f"{made}_{key_id}_{expires_s}_{other}{proof[1:]}",
        f"{made}_{key_id}_{int(expires_s) + 1}_{proof}",
        f"{made}_{theirs.key.split('_')[1]}_{expires_s}_{proof}",
        f"{made}_0000000000_{expires_s}_{proof}",
        api.key,
        "",
        "x" * 5000,
        "\0",
    ]
    assert all(refused(events(app, job, text)) for text in altered)


def test_expired_ticket_is_refused(app: Flask, api: Api, job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After five minutes a page needs a new one."""
    ticket, later = ticket_of(api, job), tickets.time.time() + tickets.LIFE_S
    assert tickets.LIFE_S == 300
    monkeypatch.setattr(tickets.time, "time", lambda: later)
    assert refused(events(app, job, ticket))


def test_ticket_ends_with_its_key(
    app: Flask, api: Api, job: str, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as the key itself."""
    ticket = ticket_of(api, job)
    assert events(app, job, ticket).status_code == 200
    with sessions.begin() as session:
        keys.revoke(session, api.key.split("_")[1])
    later = auth.time.monotonic() + auth.REMEMBER_S
    monkeypatch.setattr(auth.time, "monotonic", lambda: later)
    assert refused(events(app, job, ticket))


def test_key_goes_before_a_ticket(app: Flask, api: Api, theirs: Api, job: str) -> None:
    """Who sends a key is who it says; a good ticket helps no bad key, and a bad one harms no good key."""
    ticket = ticket_of(api, job)
    assert theirs.get(f"/v1/jobs/{job}/events?ticket={ticket}").status_code == 404
    assert Api(app, "fb_0123456789_" + "A" * 43).get(f"/v1/jobs/{job}/events?ticket={ticket}").status_code == 401
    assert api.get(f"/v1/jobs/{job}/events?ticket=x").status_code == 200


def test_ticket_is_made_only_for_ones_own_job(api: Api, theirs: Api, job: str) -> None:
    """Another tenant's is answered like one that never was."""
    assert theirs.post(f"/v1/jobs/{job}/ticket").status_code == 404
    assert api.post("/v1/jobs/nothing/ticket").status_code == 404


def test_good_ticket_asks_for_its_key_once(app: Flask, api: Api, job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that connects again and again, and guesses at a proof, are served from the keys that are known."""
    ticket = ticket_of(api, job)
    monkeypatch.setattr(auth.time, "monotonic", lambda: 0.0)  # a moment that lasts
    asked: list[str] = []
    monkeypatch.setattr(auth.keys, "key_check", lambda _, key_id: asked.append(key_id))
    assert events(app, job, ticket).status_code == 200
    assert refused(events(app, job, ticket[:-1] + ("A" if ticket[-1] != "A" else "B")))
    assert asked == []


def test_tickets_are_never_logged(app: Flask, api: Api, job: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong with one, or while it is used."""
    ticket = ticket_of(api, job)

    def fail(**_: Any) -> None:
        raise RuntimeError

    with capture_logs() as logs, caplog.at_level(logging.DEBUG):
        events(app, job, ticket)
        events(app, job, ticket[:-1])
        app.view_functions["streams.events"] = fail
        assert events(app, job, ticket).status_code == 500
    assert ticket[:40] not in str(logs) + caplog.text
    assert logs


def test_address_of_a_request_that_failed_is_logged_without_its_query() -> None:
    """gunicorn names it where an error came to it past all of us."""
    record = logging.LogRecord(
        "gunicorn.error", logging.ERROR, "", 0, "Error handling request %s %s", ("GET", "/v1/jobs/x?ticket=tk_x"), None
    )
    assert serving.Unquoted().filter(record)
    assert record.getMessage() == "Error handling request GET /v1/jobs/x"


def test_open_stream_goes_on_though_its_key_is_revoked(served: Served, sessions: Sessions, client: redis.Redis) -> None:
    """Over a real connection: what is open stays open to the job's end, whatever became of its ticket."""
    job_id = served.submit()
    run = byhand.run(sessions, client, job_id)
    ticket = served.client.post(f"/v1/jobs/{job_id}/ticket").json()["ticket"]
    del served.client.headers["Authorization"]
    with served.client.stream("GET", f"/v1/jobs/{job_id}/events", params={"ticket": ticket}) as stream:
        lines = stream.iter_lines()
        assert next(line for line in lines if line.startswith("event: ")) == "event: started"
        with sessions.begin() as session:
            keys.revoke(session, served.key.split("_")[1])
        run.succeed()
        assert "event: succeeded" in list(lines)
