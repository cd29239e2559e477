"""Changing a collection's model over HTTP: what is accepted, and what is refused before anything is queued."""

from typing import Any

import pytest

from tests.support import catalogs
from tests.webapi.conftest import CATALOG, Api

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"model": None}, "model"),
    ({"model": 5}, "model"),
    ({"model": "nobody"}, "model"),
    ({"model": "alpha"}, "model"),
    ({"model": "embedder"}, "model"),
    ({"model": "short"}, "model"),
    ({"lane": "slow"}, "lane"),
    ({"collection": "books"}, "collection"),
]


@pytest.fixture(autouse=True)
def more_embedders(app: Any, catalog_file: Any) -> None:
    more = (catalogs.echo("other", "embed", slots=2, context=128), catalogs.echo("short", "embed", slots=2, context=16))
    catalog_file.write_text("\n".join((CATALOG, *more)))


def test_change_is_a_job_on_the_new_model(api: Api) -> None:
    """The collection has its old model until the job has ended."""
    api.bring()
    accepted = api.post("/v1/collections/books/model", json={"model": "other", "lane": "batch"})
    assert accepted.status_code == 202, accepted.text
    job = accepted.json
    assert (job["type"], job["model"], job["status"], job["lane"]) == ("reembed", "other", "queued", "batch")
    assert accepted.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert api.get("/v1/collections/books").json["model"] == "embedder"
    assert [one["id"] for one in api.get("/v1/jobs?type=reembed").json["data"]] == [job["id"]]


def test_second_change_at_once_is_a_409_and_one_after_the_first_is_not(api: Api) -> None:
    api.bring()
    first = api.post("/v1/collections/books/model", json={"model": "other"}).json
    refused = api.post("/v1/collections/books/model", json={"model": "other"})
    assert (refused.status_code, refused.json["error"]["code"]) == (409, "conflict")
    assert first["id"] in refused.json["error"]["message"]
    api.post(f"/v1/jobs/{first['id']}/cancel")
    assert api.post(f"/v1/jobs/{first['id']}/retry").status_code == 202
    assert api.post(f"/v1/jobs/{first['id']}/retry").status_code == 409


def test_same_request_under_the_same_key_is_the_same_job(api: Api) -> None:
    api.bring()
    answers = [
        api.post("/v1/collections/books/model", json={"model": "other"}, headers={"Idempotency-Key": "once"})
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json["id"] == answers[1].json["id"]


@pytest.mark.parametrize(("changes", "field"), REFUSED)
def test_wrong_field_is_a_422_that_names_it(api: Api, changes: dict[str, Any], field: str) -> None:
    """And no job is made for it."""
    api.bring()
    answered = api.post("/v1/collections/books/model", json={"model": "other", **changes})
    assert (answered.status_code, answered.json["error"]["param"]) == (422, field)
    assert api.get("/v1/jobs?type=reembed").json["data"] == []


def test_collection_that_is_another_tenants_is_like_none(api: Api, theirs: Api) -> None:
    theirs.bring()
    for name in ("books", "nowhere", "no/name", "-"):
        assert api.post(f"/v1/collections/{name}/model", json={"model": "other"}).status_code == 404
