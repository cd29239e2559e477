"""One key, one job: again, at once, after a lost answer; and another request under the key."""

import datetime as dt
import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text
from werkzeug.test import TestResponse

from db.session import Sessions
from tests.webapi.conftest import Api

BODY = {"type": "generate", "input": {"prompt": "one two"}, "params": {"max_tokens": 5}}


def post(api: Api, key: str, body: dict[str, Any] | None = None, path: str = "/v1/jobs") -> TestResponse:
    return api.post(path, json=BODY if body is None else body, headers={"Idempotency-Key": key})


def counted(sessions: Sessions, table: str) -> int:
    with sessions() as session:
        return session.scalar(text(f"SELECT count(*) FROM {table}")) or 0


def test_same_request_again_gives_the_same_job(api: Api, sessions: Sessions) -> None:
    """With the same status, as it is now, and marked; the order of fields and spelt-out nulls don't matter."""
    first = post(api, "k")
    api.post(f"/v1/jobs/{first.json['id']}/cancel")
    same = {"params": {"max_tokens": 5}, "lane": None, "input": {"prompt": "one two"}, "type": "generate"}
    again = post(api, "k", same)
    assert (first.status_code, again.status_code) == (202, 202)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    assert (again.json["id"], again.json["status"]) == (first.json["id"], "cancelled")
    assert counted(sessions, "jobs") == 1


def test_another_request_under_the_key_is_refused(api: Api, sessions: Sessions) -> None:
    """Also one to another route."""
    job = post(api, "k").json
    texts = {"collection": "books", "documents": [{"text": "one"}]}
    for response in (
        post(api, "k", BODY | {"priority": 6}),
        post(api, "k", texts, "/v1/documents"),
        post(api, "k", {}, f"/v1/jobs/{job['id']}/retry"),
    ):
        error = response.json["error"]
        assert (response.status_code, error["param"]) == (422, "Idempotency-Key")
        assert error["code"] == "idempotency_mismatch"
    assert counted(sessions, "jobs") == 1
    assert counted(sessions, "documents") == 0


def test_tenants_do_not_share_keys(api: Api, theirs: Api) -> None:
    """Another tenant's key tells nothing and stands in nobody's way."""
    ours, foreign = post(api, "k").json, post(theirs, "k", BODY | {"priority": 6})
    assert foreign.status_code == 202
    assert foreign.json["id"] != ours["id"]


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "tab\there", "café"])
def test_key_that_cannot_be_one_is_refused(api: Api, key: str) -> None:
    """A key is 1 to 255 visible ASCII characters."""
    response = post(api, key)
    assert (response.status_code, response.json["error"]["param"]) == (422, "Idempotency-Key")
    assert post(api, "~" * 255).status_code == 202


def test_refused_request_does_not_use_the_key_up(api: Api) -> None:
    """Nothing was accepted, so the corrected request may have it."""
    assert post(api, "k", BODY | {"run_at": "2020-01-01T00:00:00Z"}).status_code == 422
    assert post(api, "k").status_code == 202


def test_replay_is_not_held_to_the_clock(api: Api, sessions: Sessions) -> None:
    """A request that was accepted in time is answered the same when its times have passed."""
    soon = (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)).isoformat()
    job = post(api, "k", BODY | {"expires_at": soon}).json
    with sessions() as session:
        session.execute(text("SELECT pg_sleep(1)"))
    assert post(api, "k", BODY | {"expires_at": soon}).json["id"] == job["id"]


def test_documents_are_brought_once(api: Api, sessions: Sessions) -> None:
    """As texts and as files; other contents under the same name are another request."""

    def upload(contents: bytes) -> TestResponse:
        form = {"collection": "books", "file": (io.BytesIO(contents), "a.txt")}
        return api.post("/v1/documents", data=form, headers={"Idempotency-Key": "files"})

    texts = {"collection": "books", "documents": [{"text": "one"}, {"text": "two"}]}
    first = [post(api, "texts", texts, "/v1/documents").json["id"], upload(b"one").json["id"]]
    again = [post(api, "texts", texts, "/v1/documents").json["id"], upload(b"one").json["id"]]
    assert again == first
    assert upload(b"two").status_code == 422
    assert (counted(sessions, "jobs"), counted(sessions, "documents")) == (2, 3)


def test_retry_is_made_once(api: Api) -> None:
    """Repeated under its key, a retry gives the job that the first request made."""
    job = api.submit()
    api.post(f"/v1/jobs/{job['id']}/cancel")
    path = f"/v1/jobs/{job['id']}/retry"
    first, again = (api.post(path, headers={"Idempotency-Key": "k"}).json["id"] for _ in range(2))
    assert first == again != job["id"]


def test_two_hundred_at_once_make_one_job(api: Api, sessions: Sessions) -> None:
    """All are told of the same job, and no row is left over. Who finds no connection free comes again."""

    def ask(_: int) -> dict[str, Any]:
        while (response := post(api, "k")).status_code == 503:
            assert response.headers["Retry-After"] == "1"
        assert response.status_code == 202, response.text
        return {"id": response.json["id"], "replayed": "Idempotency-Replayed" in response.headers}

    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(ask, range(200)))
    assert len({answer["id"] for answer in answers}) == 1
    assert sum(not answer["replayed"] for answer in answers) == 1
    assert [counted(sessions, name) for name in ("jobs", "idempotency_keys")] == [1, 1]
    assert post(api, "k", BODY | {"priority": 1}).status_code == 422
