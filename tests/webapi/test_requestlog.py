"""Every request has an id, which its answer, its job and its log lines carry, and one line of its own in the log."""

import re
import uuid
from pathlib import Path
from typing import Any

import pytest
import redis
from flask import Flask
from structlog.contextvars import get_contextvars
from structlog.testing import capture_logs
from structlog.typing import EventDict

from db.jobs import Job
from db.session import Sessions
from tasks import ids
from tests.webapi import byhand
from tests.webapi.conftest import Api, new_key
from tests.webapi.serving import gunicorn
from webapi.settings import Settings

OURS = re.compile("req_[0-9a-f]{32}")


def lines(logs: list[EventDict]) -> list[EventDict]:
    """The requests' own, without how long each took."""
    told = [dict(entry) for entry in logs if entry["event"] == "request"]
    assert all(entry.pop("ms") >= 0 for entry in told)
    return told


@pytest.mark.parametrize("sent", ["1", "a" * 128, "0190163d-8694-739b-aea5-966c26f8ad91", "req_Az09._:-"])
def test_well_formed_id_is_the_clients(app: Flask, api: Api, sent: str) -> None:
    """Whatever is answered: the thing, an error, an unknown page, a page that wants no key."""
    for path in ("/v1/jobs", "/v1/jobs/job_x", "/v1/nothing", "/healthz", "/docs/"):
        assert api.get(path, headers={"X-Request-Id": sent}).headers["X-Request-Id"] == sent
    assert app.test_client().get("/v1/jobs", headers={"X-Request-Id": sent}).headers["X-Request-Id"] == sent


@pytest.mark.parametrize("sent", ["", "a" * 129, "a b", "a,b", 'a"b', "ä", "a\x7f", "{}", "a\tb"])
def test_any_other_id_is_replaced(api: Api, sent: str) -> None:
    """Nothing that a client sends is repeated in a header or a log unless it is plain and short."""
    assert OURS.fullmatch(api.get("/v1/jobs", headers={"X-Request-Id": sent}).headers["X-Request-Id"])


def test_each_request_without_an_id_has_another(api: Api) -> None:
    """Ours tell requests apart."""
    assert len({api.get("/v1/models").headers["X-Request-Id"] for _ in range(3)}) == 3


def test_id_is_stored_with_the_job(api: Api, sessions: Sessions) -> None:
    """Whoever asks what became of a request finds its job; a retry has the id of its own request."""
    given = {"type": "generate", "input": {"prompt": "one"}}
    first = api.post("/v1/jobs", json=given, headers={"X-Request-Id": "mine-1"}).json["id"]
    api.post(f"/v1/jobs/{first}/cancel")
    again = api.post(f"/v1/jobs/{first}/retry", headers={"X-Request-Id": "mine-2"}).json["id"]
    with sessions.begin() as session:
        stored = [session.get_one(Job, ids.parse(shown)).request_id for shown in (first, again)]
    assert stored == ["mine-1", "mine-2"]


def test_line_says_who_asked_what_of_which_job(app: Flask, api: Api) -> None:
    """The rule and not the path, and neither query nor body; what isn't known isn't said."""
    key_id = api.key.split("_")[1]
    with capture_logs() as logs:
        job_id = api.submit()["id"]
        api.get(f"/v1/jobs/{job_id}?wait=0&encoding_format=base64")
        api.get("/v1/jobs/secret?secret=1")
        api.get("/v1/secret")
        app.test_client().get("/v1/jobs?ticket=secret")
        app.test_client().get("/healthz")
    about = {"event": "request", "log_level": "info"}
    one = "/v1/jobs/<job_id>"
    assert lines(logs) == [
        about | {"method": "POST", "route": "/v1/jobs", "status": 202, "key_id": key_id, "job_id": job_id},
        about | {"method": "GET", "route": one, "status": 200, "key_id": key_id, "job_id": job_id},
        about | {"method": "GET", "route": one, "status": 422, "key_id": key_id},
        about | {"method": "GET", "route": None, "status": 404},
        about | {"method": "GET", "route": "/v1/jobs", "status": 401},
        about | {"method": "GET", "route": "/healthz", "status": 200},
    ]
    assert "secret" not in str(logs)


def test_request_that_fails_has_its_line_and_its_id_too(app: Flask, api: Api) -> None:
    """What was logged about a slip of ours is found by the id that its client was given."""
    bound: list[dict[str, Any]] = []

    def fail(**_: Any) -> None:
        bound.append(get_contextvars())
        raise RuntimeError

    app.view_functions["models.models"] = fail
    with capture_logs() as logs:
        response = api.get("/v1/models", headers={"X-Request-Id": "mine"})
    assert (response.status_code, response.headers["X-Request-Id"], bound) == (500, "mine", [{"request_id": "mine"}])
    assert [entry["event"] for entry in logs] == ["unforeseen", "request"]
    assert lines(logs)[0]["status"] == 500
    assert get_contextvars() == {}


def test_stream_has_its_line_when_it_ends(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    """Not when it begins: what it took is known at its end, also where its client leaves."""
    run = byhand.run(sessions, client, api.submit()["id"])
    with capture_logs() as logs:
        left = api.get(f"/v1/jobs/job_{run.job_id.hex}/events", buffered=False)
        assert next(iter(left.response)) == b": ok\n\n"
        assert lines(logs) == []
        left.close()
        assert [line["status"] for line in lines(logs)] == [200]
        run.succeed()
        with api.get(f"/v1/jobs/job_{run.job_id.hex}/events") as whole:
            assert "event: succeeded" in whole.text
    assert [line["route"] for line in lines(logs)] == ["/v1/jobs/<job_id>/events"] * 2


def test_process_logs_one_line_a_request(
    settings: Settings, sessions: Sessions, client: redis.Redis, tmp_path: Path
) -> None:
    """Under gunicorn, with the request's id, and none of gunicorn's own beside them; streams at their end."""
    log = tmp_path / "api.log"
    with log.open("wb") as file, gunicorn(settings, new_key(sessions, "ours"), file) as served:
        job_id = served.submit()
        run = byhand.run(sessions, client, job_id)
        with served.client.stream("GET", f"/v1/jobs/{job_id}/events", headers={"X-Request-Id": "reader"}) as stream:
            read = stream.iter_lines()
            assert next(read) == ": ok"
            served.client.get("/v1/nothing", headers={"X-Request-Id": "lost"})
            run.succeed()
            assert "event: succeeded" in list(read)
        asked = uuid.uuid4().hex
        served.client.get("/v1/models", headers={"X-Request-Id": asked})
    told = [dict(pair.split("=", 1) for pair in line.split()) for line in log.read_text().splitlines()]
    mine = [line for line in told if line["route"] != "/healthz"]
    assert all(line["event"] == "request" and float(line["ms"]) >= 0 for line in told)
    assert OURS.fullmatch(mine[0]["request_id"])
    assert [(line["request_id"], line["route"], line["status"]) for line in mine[1:]] == [
        ("lost", "", "404"),
        ("reader", "/v1/jobs/<job_id>/events", "200"),
        (asked, "/v1/models", "200"),
    ]
    assert [line.get("job_id") for line in mine] == [job_id, None, job_id, None]
