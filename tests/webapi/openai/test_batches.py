"""Batches as they are asked for: once for each key, refused before there is one, ended by either of their routes."""

import json
from typing import Any

import pytest
from sqlalchemy import text

from db.session import Sessions
from tests.webapi.conftest import Api
from tests.webapi.openai.test_files import kept

CHAT = "/v1/chat/completions"


def asked(api: Api, **changes: Any) -> dict[str, Any]:
    body = {"model": "alpha", "messages": [{"role": "user", "content": "word"}]}
    line = {"custom_id": "1", "method": "POST", "url": CHAT, "body": body}
    file = kept(api, json.dumps(line).encode())
    return {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h", **changes}


def number(api: Api) -> int:
    return len(api.get("/v1/batches").json["data"])


def test_one_key_is_one_batch(api: Api) -> None:
    """However often it is sent; with another request it is an error, and no batch."""
    given, once = asked(api), {"Idempotency-Key": "one"}
    first = api.post("/v1/batches", json=given, headers=once)
    again = api.post("/v1/batches", json=given, headers=once)
    other = api.post("/v1/batches", json=given | {"completion_window": "2h"}, headers=once)
    assert (first.status_code, again.status_code, other.status_code) == (200, 200, 400)
    assert first.json["id"] == again.json["id"]
    assert number(api) == 1


def test_windows_end_when_they_say(api: Api) -> None:
    for window, length_s in (("30m", 1800), ("24h", 86_400), ("30d", 2_592_000)):
        batch = api.post("/v1/batches", json=asked(api, completion_window=window)).json
        assert abs(batch["expires_at"] - batch["created_at"] - length_s) <= 1
        assert batch["completion_window"] == window


def test_bad_requests_make_no_batch(api: Api) -> None:
    for wrong in ({"endpoint": "/v1/videos"}, {"completion_window": "31d"}, {"metadata": {"x": 1}}, {"model": "alpha"}):
        assert api.post("/v1/batches", json=asked(api, **wrong)).status_code == 400, wrong
    assert number(api) == 0


def test_cancelling_the_job_of_a_batch_is_cancelling_the_batch(api: Api) -> None:
    """The job goes on to write the files; and a job that is no batch isn't cancelled as one."""
    batch = api.post("/v1/batches", json=asked(api)).json
    job_id = batch["id"].replace("batch_", "job_")
    assert api.post(f"/v1/jobs/{job_id}/cancel").status_code == 200
    assert api.get(f"/v1/batches/{batch['id']}").json["status"] == "cancelling"
    assert api.get(f"/v1/jobs/{job_id}").json["status"] == "queued"
    other = api.submit()["id"]
    assert api.post(f"/v1/batches/{other.replace('job_', 'batch_')}/cancel").status_code == 404
    assert api.get(f"/v1/jobs/{other}").json["status"] == "queued"


@pytest.mark.parametrize("ending", ["completed", "failed", "expired"])
def test_what_has_ended_otherwise_can_not_be_cancelled(api: Api, sessions: Sessions, ending: str) -> None:
    """The clients don't ask again. One that is cancelled stays so."""
    batch = api.post("/v1/batches", json=asked(api)).json
    ended = {"completed": "succeeded"}.get(ending, ending)
    for status, how in ((ended, ending), ("cancelled", "cancelled")):
        with sessions.begin() as session:
            values = {"id": batch["id"].removeprefix("batch_"), "status": status, "how": how}
            session.execute(text("UPDATE jobs SET status = :status, finished_at = now() WHERE id = :id"), values)
            session.execute(text("UPDATE batches SET ending = :how, ended_at = now() WHERE job_id = :id"), values)
        told = api.post(f"/v1/batches/{batch['id']}/cancel")
        if how == "cancelled":
            assert (told.status_code, told.json["status"]) == (200, "cancelled")
        else:
            assert (told.status_code, told.headers["x-should-retry"]) == (409, "false")
            assert told.json["error"]["message"] == f"Cannot cancel a batch with status '{how}'."
