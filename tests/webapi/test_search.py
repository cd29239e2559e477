"""Searching over HTTP, with a worker's part done by hand."""

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from flask import Flask
from sqlalchemy import func, select, text, update

from db.jobs import Job
from db.session import Sessions
from db.workers import Worker
from tasks import ids
from tasks.documents.chunking import Piece
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.keys import Caller
from tasks.limits.spent import Spent
from tests import shelves, tables
from tests.webapi.conftest import Api
from webapi.v1.search import searching

D = 4
ASKED = {"query": "one", "collection": "books"}
Ending = Callable[[list[str]], Outcome]

REFUSED = [
    ({"query": None}, "query"),
    ({"query": ""}, "query"),
    ({"query": " \n"}, "query"),
    ({"query": 5}, "query"),
    ({"query": []}, "query"),
    ({"query": ["x", 5]}, "query.1"),
    ({"query": ["x", " "]}, "query.1"),
    ({"query": ["x"] * 17}, "query"),
    ({"query": "x" * (64 * 64 + 1)}, "query"),
    ({"collection": None}, "collection"),
    ({"collection": ""}, "collection"),
    ({"collection": "../x"}, "collection"),
    ({"collection": ["books"]}, "collection"),
    ({"top_k": 0}, "top_k"),
    ({"top_k": 101}, "top_k"),
    ({"top_k": 1.5}, "top_k"),
    ({"top_k": "5"}, "top_k"),
    ({"top_k": True}, "top_k"),
    ({"top_k": 10**17}, "top_k"),
    ({"threshold": -0.1}, "threshold"),
    ({"threshold": 1.1}, "threshold"),
    ({"threshold": "0"}, "threshold"),
    ({"filter": []}, "filter"),
    ({"filter": {"k": None}}, "filter.k"),
    ({"filter": {"k": {"$gt": 1}}}, "filter.k"),
    ({"filter": {"k": "v" * 513}}, "filter.k"),
    ({"filter": {str(i): i for i in range(17)}}, "filter"),
    ({"filter": {"type": "eq", "key": "k", "value": None}}, "filter.value"),
    ({"filter": {"type": "like", "key": "k", "value": "x"}}, "filter.type"),
    ({"filter": {"type": "eq", "key": "k"}}, "filter.value"),
    ({"filter": {"type": "and"}}, "filter.filters"),
    ({"filter": {"type": "or", "filters": [{"type": "in", "key": "k", "value": [1, {}]}]}}, "filter.filters.0.value.1"),
    ({"neighbours": -1}, "neighbours"),
    ({"neighbours": 11}, "neighbours"),
    ({"model": "embedder"}, "model"),
]


def vectors(texts: list[str]) -> Outcome:
    """Every text is embedded in the first direction."""
    rows = np.repeat(np.eye(D, dtype=np.float32)[:1], len(texts), axis=0)
    return Outcome(Status.SUCCEEDED, Spent(1), {"count": len(texts)}, vectors=rows)


@pytest.fixture
def embedding(sessions: Sessions, client: redis.Redis) -> Iterator[Callable[[Ending], None]]:
    """Starts what takes and ends embedding jobs as they come, each as it is told, until the test is over."""
    gone, threads = threading.Event(), []

    def work(ending: Ending) -> None:
        while not gone.wait(0.005):
            with sessions.begin() as session:
                session.execute(update(Worker).values(beat_at=func.now()))
                waiting = session.scalars(select(Job.id).where(Job.type == "embed", Job.finished_at.is_(None))).all()
            for job_id in waiting:
                tables.dispatch(sessions, job_id)
                claim = tables.claim(sessions, job_id, queue="embedder")
                assert claim is not None
                with sessions.begin() as session:
                    tables.finish(session, job_id, claim.attempt, claim.checkpoint, ending(claim.asked.input["texts"]))

    def start(ending: Ending) -> None:
        tables.worker(sessions, "w1", model="embedder")
        threads.append(threading.Thread(target=work, args=(ending,)))
        threads[-1].start()

    yield start
    gone.set()
    for thread in threads:
        thread.join()


def shelve(sessions: Sessions, caller: Caller, api: Api, *texts: str, rows: Any = None, **about: Any) -> str:
    """A document in `books` that is ready, with these chunks."""
    document = api.bring(documents=[{"text": "x", **about}])
    directions = np.eye(D, dtype=np.float32)[: len(texts)] if rows is None else np.array(rows, np.float32)
    document_id = ids.parse(document["id"], ids.DOCUMENT)
    job_id = ids.parse(document["links"]["job"].rsplit("/", 1)[1])
    assert document_id
    assert job_id
    ends = list(itertools.accumulate(len(text) + 1 for text in texts))
    pieces = [Piece(text, 1, end - len(text) - 1, end - 1) for text, end in zip(texts, ends, strict=True)]
    with sessions.begin() as session:
        shelves.store(session, caller.tenant_id, document_id, pieces, directions)
        tables.put(session, job_id, Status.SUCCEEDED)
    return str(document["id"])


def test_search_answers_with_passages(api: Api, sessions: Sessions, caller: Caller, embedding: Any) -> None:
    """In the order of both rankings together, with everything a passage has."""
    embedding(vectors)
    document_id = shelve(sessions, caller, api, "one two", "three", title="T", metadata={"year": 2020})
    shelve(sessions, caller, api, "four", rows=[[0.6, 0.8, 0, 0]], metadata={"year": 2021})

    def found(**changes: Any) -> list[str]:
        response = api.post("/v1/search", json={**ASKED, **changes})
        assert response.status_code == 200, response.text
        return [passage["text"] for passage in response.json["results"]]

    response = api.post("/v1/search", json=ASKED)
    assert response.json["object"] == "list"
    first = response.json["results"][0]
    assert first.pop("words") > 0
    assert first == {
        "document_id": document_id, "chunk": 0, "score": 1.0, "similarity": 1.0, "text": "one two", "title": "T",
        "filename": None, "external_id": None, "metadata": {"year": 2020}, "path": [], "header": None,
        "page": None, "begins": 0, "ends": 7,
    }  # fmt: skip
    assert found() == ["one two", "four", "three"]
    assert found(query=["one", "three"]) == ["one two", "four", "three"]
    assert found(top_k=1) == ["one two"]
    assert found(threshold=0.6, top_k=None) == ["one two"]
    assert found(filter={"year": 2021}) == ["four"]
    assert found(filter={"year": 2022}) == []
    assert found(filter={"type": "gt", "key": "year", "value": 2020}) == ["four"]
    assert found(filter={"type": "ne", "key": "document_id", "value": document_id}) == ["four"]
    assert found(neighbours=1, top_k=1) == ["one two\nthree"]
    assert found(query="' | !! \\") == ["one two", "four", "three"]


def test_search_is_charged_as_a_job(api: Api, sessions: Sessions, caller: Caller, embedding: Any) -> None:
    """The query's embedding is a job that can be looked at."""
    embedding(vectors)
    shelve(sessions, caller, api, "one")
    assert api.post("/v1/search", json=ASKED).status_code == 200
    [job] = api.get("/v1/jobs?type=embed").json["data"]
    assert (job["status"], job["model"], job["lane"]) == ("succeeded", "embedder", "interactive")
    assert job["metadata"] == {"for": "search"}
    assert job["usage"]["prompt_tokens"] == 1


def test_search_finds_nothing_of_another_tenants(
    api: Api, theirs: Api, sessions: Sessions, caller: Caller, embedding: Any
) -> None:
    """Not by meaning, not by words, not in a collection of the same name that has nothing else to find."""
    embedding(vectors)
    shelve(sessions, tables.tenant(sessions, "theirs"), theirs, "one", "one two")
    shelve(sessions, caller, api, "far", rows=[[0, 0, 0, 1]])
    results = api.post("/v1/search", json={**ASKED, "top_k": 100}).json["results"]
    assert [passage["text"] for passage in results] == ["far"]


@pytest.mark.parametrize(("changes", "field"), REFUSED)
def test_wrong_field_is_a_422_that_names_it(
    api: Api, sessions: Sessions, caller: Caller, changes: dict[str, Any], field: str
) -> None:
    """And no job is made for it."""
    shelve(sessions, caller, api, "one")
    response = api.post("/v1/search", json={**ASKED, **changes})
    assert (response.status_code, response.json["error"]["param"]) == (422, field), response.text
    assert api.get("/v1/jobs?type=embed").json["data"] == []


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b'{"query": "a\\u0000"}', "query"), (b'{"query": "\\ud800"}', "query"), (b'{"threshold": NaN}', "threshold"),
        (b'{"filter": {"k": 1e999}}', "filter.k"), (b'{"filter": ' + b'{"a":' * 100_000, "filter"), (b"", None),
    ],
)  # fmt: skip
def test_malformed_body_is_a_400(api: Api, raw: bytes, field: str | None) -> None:
    """A search's body is read as every other body is."""
    response = api.post("/v1/search", data=raw, content_type="application/json")
    assert (response.status_code, response.json["error"]["param"]) == (400, field)


def test_unknown_collection_is_a_404(api: Api) -> None:
    """Before anything is embedded."""
    response = api.post("/v1/search", json=ASKED)
    assert (response.status_code, response.json["error"]["code"]) == (404, "not_found")


def test_collection_without_chunks_has_nothing_to_find(api: Api) -> None:
    """Documents that wait are no error, and nobody embeds a query for them."""
    api.bring()
    assert api.post("/v1/search", json=ASKED).json == {"object": "list", "results": []}


def test_search_without_a_worker_is_a_503(api: Api, sessions: Sessions, caller: Caller) -> None:
    """Nobody would take the job within the time: that is told at once."""
    shelve(sessions, caller, api, "one")
    response = api.post("/v1/search", json=ASKED)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert api.get("/v1/jobs?type=embed").json["data"] == []


def test_search_past_its_time_is_a_503_and_its_job_is_cancelled(
    api: Api, sessions: Sessions, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for it any more."""
    shelve(sessions, caller, api, "one")
    tables.worker(sessions, "w1", model="embedder")
    monkeypatch.setattr(searching, "WAIT_S", 0.05)
    response = api.post("/v1/search", json=ASKED)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    [job] = api.get("/v1/jobs?type=embed").json["data"]
    assert job["status"] == "cancelled"


@pytest.mark.parametrize(
    ("code", "status", "field"), [("context_length_exceeded", 422, "query"), ("engine_refused", 503, None)]
)
def test_failed_embedding_is_told(
    api: Api, sessions: Sessions, caller: Caller, embedding: Any, code: str, status: int, field: str | None
) -> None:
    """A query that is too long is the client's; the rest is ours."""
    embedding(lambda _: Outcome(Status.FAILED, error=(code, "no")))
    shelve(sessions, caller, api, "one")
    response = api.post("/v1/search", json=ASKED)
    assert (response.status_code, response.json["error"]["param"]) == (status, field)


def test_model_that_is_no_longer_served_is_told(
    api: Api, sessions: Sessions, caller: Caller, catalog_file: Path
) -> None:
    """The collection's vectors are another model's than any there is."""
    shelve(sessions, caller, api, "one")
    catalog_file.write_text(catalog_file.read_text().replace("[embedder]", "[another]"))
    response = api.post("/v1/search", json=ASKED)
    assert (response.status_code, response.json["error"]["param"]) == (422, "collection")


def test_model_that_was_exchanged_is_told(api: Api, sessions: Sessions, caller: Caller, embedding: Any) -> None:
    """Vectors of another dimension can't be compared."""
    embedding(vectors)
    shelve(sessions, caller, api, "one", rows=[[1, 0]])
    response = api.post("/v1/search", json=ASKED)
    assert (response.status_code, response.json["error"]["param"]) == (422, "collection")


def test_search_in_a_collection_made_anew_meanwhile_is_a_503(
    api: Api, sessions: Sessions, caller: Caller, embedding: Any
) -> None:
    """The query's vector is another model's than the collection's are now: asking again helps."""

    def exchanged(texts: list[str]) -> Outcome:
        with sessions.begin() as session:
            session.execute(text("UPDATE collections SET model = 'another'"))
        return vectors(texts)

    shelve(sessions, caller, api, "one")
    embedding(exchanged)
    response = api.post("/v1/search", json=ASKED)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert "has its vectors from another now" in response.json["error"]["message"]


def test_search_holds_a_permit_while_it_waits(app: Flask, api: Api, sessions: Sessions, caller: Caller) -> None:
    """Requests that hold a thread are bounded; who gets none leaves no job behind."""
    shelve(sessions, caller, api, "one")
    tables.worker(sessions, "w1", model="embedder")
    serving = app.extensions["forebay"]
    for holder in range(serving.searches.places):
        serving.searches.take(holder)
    assert api.post("/v1/search", json=ASKED).status_code == 503
    assert api.get("/v1/jobs?type=embed").json["data"] == []
