"""Replicate's dialect, with a worker's part done by hand."""

import json
import uuid
from typing import Any

import pytest
import redis
from sqlalchemy import select

from db.jobs import Job
from db.session import Sessions
from db.webhooks.deliveries import Delivery
from tasks import ids
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.limits.spent import Spent
from tasks.streams.events import Delta, Event
from tests import tables
from tests.webapi import byhand
from tests.webapi.conftest import Api

SAID: list[Event] = [Delta("one\r", Spent(completion=1)), Delta("\n two\u2028x", Spent(completion=1))]
PROMPT = {"version": "alpha", "input": {"prompt": "zero"}}
WAIT = {"Prefer": "wait=60"}


def in_lines(job: Job) -> tuple[list[Event], Outcome]:
    """Ends lines in every way."""
    _, outcome = byhand.in_two_words(job)
    return SAID, outcome


def failed(job: Job) -> tuple[list[Event], Outcome]:
    del job
    return SAID[:1], Outcome(Status.FAILED, Spent(2, 1), error=("engine_refused", "no"))


def job_id(prediction: dict[str, Any]) -> uuid.UUID:
    found = ids.parse(f"job_{prediction['id']}")
    assert found is not None
    return found


def events(text: str) -> list[tuple[str, str, str]]:
    """Name, id and data of each event."""
    told = []
    for block in text.split("\n\n"):
        lines = [line.partition(": ")[::2] for line in block.split("\n") if line and not line.startswith(":")]
        named = dict(lines)
        if named:
            data = "\n".join(value for name, value in lines if name == "data")
            told.append((named["event"], named["id"], data))
    return told


def test_prediction_is_a_job(api: Api) -> None:
    """Answered at once, and found again under its id by both names."""
    given = {"prompt": "zero", "max_new_tokens": 5, "temperature": 0, "seed": -1, "stop_sequences": "x,y"}
    made = api.post("/v1/predictions", json={"version": "alpha", "input": given})
    assert made.status_code == 201, made.text
    prediction = made.json
    assert (prediction["status"], prediction["output"], prediction["error"]) == ("starting", None, None)
    assert (prediction["model"], prediction["version"], prediction["logs"]) == ("alpha", "alpha", "")
    own = f"http://localhost/v1/predictions/{prediction['id']}"
    assert prediction["urls"] == {"get": own, "cancel": f"{own}/cancel", "stream": f"{own}/stream"}
    shown = api.get(f"/v1/predictions/{prediction['id']}").json
    assert shown["input"] == {
        "messages": [{"role": "user", "content": "zero"}],
        "max_tokens": 5,
        "temperature": 0,
        "seed": 2**31 - 1,
        "stop": ["x", "y"],
    }
    assert {**shown, "input": None} == {**prediction, "input": None}
    assert api.job(f"job_{prediction['id']}")["type"] == "chat"


@pytest.mark.parametrize(
    ("path", "body", "type", "asked"),
    [
        ("models/me/alpha/predictions", {}, "chat", {"messages": [{"role": "user", "content": "zero"}]}),
        ("models/me/beta/predictions", {}, "generate", {"prompt": "zero"}),
        ("predictions", {"model": "me/alpha"}, "chat", {"messages": [{"role": "user", "content": "zero"}]}),
        ("predictions", {"version": "me/beta:latest"}, "generate", {"prompt": "zero"}),
    ],
)
def test_model_is_named_in_whichever_way(api: Api, path: str, body: Any, type: str, asked: Any) -> None:
    made = api.post(f"/v1/{path}", json={**body, "input": {"prompt": "zero"}})
    assert made.status_code == 201, made.text
    assert api.job(f"job_{made.json['id']}")["type"] == type
    assert api.get(f"/v1/predictions/{made.json['id']}").json["input"] == asked


def test_prompt_goes_as_it_stands_where_the_template_says_so(api: Api) -> None:
    made = api.post("/v1/predictions", json={**PROMPT, "input": {"prompt": "zero", "prompt_template": "{prompt}"}})
    assert api.job(f"job_{made.json['id']}")["type"] == "generate"


def test_who_waits_is_answered_with_the_output(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    with byhand.working(sessions, client, byhand.in_two_words):
        made = api.post("/v1/predictions", json=PROMPT, headers=WAIT)
    assert (made.status_code, made.json["status"], made.json["output"]) == (201, "succeeded", ["one two"])
    assert made.json["metrics"]["output_token_count"] == 2
    assert made.json["completed_at"] >= made.json["started_at"]


def test_texts_are_embedded(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    asked = {"version": "embedder", "input": {"texts": ["x", "y"]}}
    with byhand.working(sessions, client, byhand.in_two_words):
        made = api.post("/v1/predictions", json=asked, headers=WAIT).json
    assert made["output"] == [[1, 0, 0, 0], [0, 1, 0, 0]]
    assert api.get(f"/v1/predictions/{made['id']}").json["output"] == made["output"]
    assert "stream" not in made["urls"]


def test_who_has_waited_in_vain_is_told_that_it_starts(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    """Even of one that runs: the client libraries take every other word for its end. It goes on."""
    made = api.post("/v1/predictions", json=PROMPT, headers={"Prefer": "wait=1"})
    assert (made.status_code, made.json["status"]) == (202, "starting")
    byhand.run(sessions, client, ids.show(job_id(made.json)))
    assert api.get(f"/v1/predictions/{made.json['id']}").json["status"] == "processing"


def test_failure_is_told(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    with byhand.working(sessions, client, failed):
        made = api.post("/v1/predictions", json=PROMPT, headers=WAIT)
    assert (made.status_code, made.json["status"], made.json["error"]) == (201, "failed", "no")
    told = events(api.get(f"/v1/predictions/{made.json['id']}/stream").text)
    assert [name for name, _, _ in told] == ["output", "error", "done"]
    assert told[1][2] == '{"detail":"no"}'


def test_prediction_is_cancelled(api: Api) -> None:
    """And stays so."""
    made = api.post("/v1/predictions", json=PROMPT).json
    for _ in range(2):
        ended = api.post(f"/v1/predictions/{made['id']}/cancel")
        assert (ended.status_code, ended.json["status"]) == (200, "canceled")
    [(name, _, data)] = events(api.get(f"/v1/predictions/{made['id']}/stream").text)
    assert (name, data) == ("done", '{"reason": "canceled"}')


def test_stream_is_resumed_after_any_event(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    """Every event has its id, and what a client would take for a line's end is one."""
    with byhand.working(sessions, client, in_lines):
        made = api.post("/v1/predictions", json=PROMPT, headers=WAIT).json
    path = f"/v1/predictions/{made['id']}/stream"
    told = events(api.get(path).text)
    assert told == [("output", "1-2", "one\n"), ("output", "1-3", "\n two\nx"), ("done", "1-4", "{}")]
    for number, (_, id, _) in enumerate(told):
        left = events(api.get(path, headers={"Last-Event-ID": id}).text)
        assert left == (told[number + 1 :] or told[-1:])


def test_stream_of_a_lost_run_says_so_to_who_resumes(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    """What it had can't be taken back."""
    made = api.post("/v1/predictions", json=PROMPT).json
    run = byhand.run(sessions, client, ids.show(job_id(made)))
    run.say("lost", "words")
    client.flushall()
    with sessions.begin() as session:
        tables.lose(session, run.job_id, crashes=0)
    again = byhand.run(sessions, client, ids.show(job_id(made)))
    again.say("others")
    again.succeed()
    told = events(api.get(f"/v1/predictions/{made['id']}/stream", headers={"Last-Event-ID": "1-3"}).text)
    assert [name for name, _, _ in told] == ["error", "done"]
    whole = events(api.get(f"/v1/predictions/{made['id']}/stream").text)
    assert [data for name, _, data in whole if name == "output"] == ["others"]


def test_predictions_are_listed_by_pages(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webapi.replicate.views._PAGE", 2)
    made = [api.post("/v1/predictions", json=PROMPT).json["id"] for _ in range(3)]
    first = api.get("/v1/predictions").json
    second = api.get(first["next"].removeprefix("http://localhost")).json
    assert [one["id"] for one in first["results"] + second["results"]] == made[::-1]
    assert (first["previous"], second["next"]) == (None, None)


def test_cancel_after_bounds_waiting_and_running(api: Api, sessions: Sessions) -> None:
    made = api.post("/v1/predictions", json=PROMPT, headers={"Cancel-After": "1m30s"}).json
    job = api.job(f"job_{made['id']}")
    assert (job["deadline_s"], job["expires_at"] is None) == (90, False)


def test_webhook_is_told_of_the_end(api: Api, sessions: Sessions) -> None:
    """With the prediction itself; the tenant's own endpoints are told of the job."""
    endpoint = api.post("/v1/webhooks", json={"url": "http://127.0.0.1:8080/own", "events": ["job.cancelled"]})
    assert endpoint.status_code == 201, endpoint.text
    given = {**PROMPT, "webhook": "http://127.0.0.1:8080/x", "webhook_events_filter": ["start", "completed"]}
    made = api.post("/v1/predictions", json=given)
    assert made.status_code == 201, made.text
    api.post(f"/v1/predictions/{made.json['id']}/cancel")
    with sessions.begin() as session:
        sent = {each.url: json.loads(each.payload) for each in session.scalars(select(Delivery))}
    there, here = sent["http://127.0.0.1:8080/x"], sent[None]
    assert (there["id"], there["status"]) == (made.json["id"], "canceled")
    assert there["urls"] == made.json["urls"]
    assert (here["type"], here["data"]["id"]) == ("job.cancelled", f"job_{made.json['id']}")


def test_equal_keys_are_one_prediction(api: Api) -> None:
    made = [api.post("/v1/predictions", json=PROMPT, headers={"Idempotency-Key": "k"}).json["id"] for _ in range(2)]
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"version": None}, 422, "version"),
        ({"model": "alpha"}, 422, "version"),
        ({"version": "nobody"}, 404, "version"),
        ({"version": "me/alpha:abc"}, 404, "version"),
        ({"input": None}, 422, "input"),
        ({"input": {}}, 422, "input.prompt"),
        ({"input": {"prompt": "x", "messages": [{"role": "user", "content": "x"}]}}, 422, "input.prompt"),
        ({"input": {"prompt": "x", "wish": 1}}, 422, "input.wish"),
        ({"input": {"prompt": "x", "min_tokens": 5}}, 422, "input.min_tokens"),
        ({"input": {"prompt": "x", "length_penalty": 2}}, 422, "input.length_penalty"),
        ({"input": {"prompt": "x", "prompt_template": "<s>{prompt}"}}, 422, "input.prompt_template"),
        ({"input": {"prompt": "x" * 64 * 65}}, 422, "input.messages"),
        ({"version": "beta", "input": {"messages": [{"role": "user", "content": "x"}]}}, 422, "input.messages"),
        ({"version": "beta", "input": {"prompt": "x", "system_prompt": "y"}}, 422, "input.system_prompt"),
        ({"version": "embedder"}, 422, "input.texts"),
        ({"webhook": "ftp://x"}, 422, "webhook"),
        ({"webhook": "http://127.0.0.1:8080/x", "webhook_events_filter": ["start"]}, 422, "webhook_events_filter"),
    ],
)
def test_wrong_field_is_a_problem_that_names_it(api: Api, changes: dict[str, Any], status: int, field: str) -> None:
    response = api.post("/v1/predictions", json={**PROMPT, **changes})
    assert (response.status_code, response.mimetype) == (status, "application/problem+json"), response.text
    problem = response.json
    assert (problem["status"], problem["instance"]) == (status, "/v1/predictions")
    assert problem["detail"].startswith(f"{field}: ")
    assert problem["invalid_fields"][0]["field"] == field


@pytest.mark.parametrize("after", ["4", "1x", "", "8d", "999999h"])
def test_wrong_time_is_refused(api: Api, after: str) -> None:
    assert api.post("/v1/predictions", json=PROMPT, headers={"Cancel-After": after}).status_code == 422


@pytest.mark.parametrize("scheme", ["Token", "token", "Bearer"])
def test_key_comes_under_either_name(api: Api, scheme: str) -> None:
    response = api.get("/v1/predictions", headers={"Authorization": f"{scheme} {api.key}"})
    assert response.status_code == 200


def test_foreign_prediction_is_none(api: Api, theirs: Api) -> None:
    made = api.post("/v1/predictions", json=PROMPT).json["id"]
    for method, path in (("GET", ""), ("GET", "/stream"), ("POST", "/cancel")):
        for id in (made, made[:-1] + ("0" if made[-1] != "0" else "1"), "x"):
            response = theirs.ask(method, f"/v1/predictions/{id}{path}")
            assert (response.status_code, response.json["detail"]) == (404, f"no prediction {id}")
