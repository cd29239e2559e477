"""Erasing a job over HTTP, and what then becomes of all that named it."""

import redis
from sqlalchemy import text

from db.session import Sessions
from tests.webapi import byhand
from tests.webapi.conftest import Api


def finished(api: Api, sessions: Sessions, client: redis.Redis, **headers: str) -> str:
    body = {"type": "generate", "input": {"prompt": "one two"}}
    job_id = str(api.post("/v1/jobs", json=body, headers=headers).json["id"])
    run = byhand.run(sessions, client, job_id)
    run.say("a")
    run.succeed()
    return job_id


def erase(api: Api, job_id: str) -> tuple[int, str]:
    response = api.ask("DELETE", f"/v1/jobs/{job_id}")
    return response.status_code, response.json["error"]["code"] if response.json else ""


def test_job_that_is_erased_is_not_there_any_more(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    """Neither by its id, nor its stream, nor in lists; what it cost is."""
    job_id = finished(api, sessions, client)
    usage = api.get("/v1/usage").json["total"]
    assert erase(api, job_id) == (204, "")
    for path in ("", "/events"):
        gone = api.get(f"/v1/jobs/{job_id}{path}")
        assert (gone.status_code, gone.json["error"]["message"]) == (404, f"no job {job_id}")
    assert api.get("/v1/jobs").json["data"] == []
    assert erase(api, job_id) == (404, "not_found")
    assert usage["jobs"] == 1
    assert api.get("/v1/usage").json["total"] == usage


def test_job_under_way_is_to_be_cancelled_first(api: Api) -> None:
    job_id = api.submit()["id"]
    assert erase(api, job_id) == (409, "conflict")
    api.post(f"/v1/jobs/{job_id}/cancel")
    assert erase(api, job_id) == (204, "")


def test_idempotency_key_of_a_job_that_was_erased_makes_a_new_one(
    api: Api, sessions: Sessions, client: redis.Redis
) -> None:
    job_id = finished(api, sessions, client, **{"Idempotency-Key": "k"})
    assert erase(api, job_id) == (204, "")
    assert finished(api, sessions, client, **{"Idempotency-Key": "k"}) != job_id


def test_idempotency_key_of_a_job_that_somebody_deleted_makes_a_new_one(api: Api, sessions: Sessions) -> None:
    """By hand, or at the very moment."""
    body, headers = {"type": "generate", "input": {"prompt": "one two"}}, {"Idempotency-Key": "k"}
    first = api.post("/v1/jobs", json=body, headers=headers).json["id"]
    with sessions.begin() as session:
        session.execute(text("DELETE FROM jobs"))
    again = api.post("/v1/jobs", json=body, headers=headers)
    assert (again.status_code, again.json["id"] != first) == (202, True)
    assert "Idempotency-Replayed" not in again.headers


def test_retry_goes_on_naming_the_job_that_was_erased(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    job_id = finished(api, sessions, client)
    again = api.post(f"/v1/jobs/{job_id}/retry").json["id"]
    assert erase(api, job_id) == (204, "")
    assert api.job(again)["retry_of"] == job_id
    assert api.post(f"/v1/jobs/{job_id}/retry").status_code == 404


def test_document_that_waited_for_a_job_that_was_erased_has_failed(api: Api, sessions: Sessions) -> None:
    """It stays, and lists find it so; one that was ready is as it was."""
    ready, waits = api.bring(), api.bring()
    for document, status in ((ready, "ready"), (waits, "pending")):
        with sessions.begin() as session:
            values = {"status": status, "id": document["id"].removeprefix("doc_")}
            session.execute(text("UPDATE documents SET status = :status, chunks = 1 WHERE id = :id"), values)
        job_id = document["links"]["job"].rsplit("/", 1)[1]
        api.post(f"/v1/jobs/{job_id}/cancel")
        assert erase(api, job_id) == (204, "")
    shown = api.get(f"/v1/documents/{waits['id']}").json
    assert (shown["status"], shown["error"]["code"]) == ("failed", "job_removed")
    listed = {
        status: api.get(f"/v1/documents?status={status}").json["data"] for status in ("failed", "ready", "pending")
    }
    assert {status: [one["id"] for one in found] for status, found in listed.items()} == {
        "failed": [waits["id"]],
        "ready": [ready["id"]],
        "pending": [],
    }
