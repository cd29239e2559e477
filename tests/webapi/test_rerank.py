"""Reranking over HTTP, with a worker's part done by hand."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from sqlalchemy import func, select, update

from db.jobs import Job
from db.session import Sessions
from db.workers import Worker
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.keys import Caller
from tasks.kinds import rerank
from tasks.limits.spent import Spent
from tasks.streams.events import Event
from tests import tables
from tests.support.platform import ROOT
from tests.webapi import byhand
from tests.webapi.conftest import CATALOG, Api
from tests.webapi.test_search import shelve
from webapi.v1.rerank import views

LONG = "x" * 64 * 64
ASKED = {"query": "Who?", "documents": ["one", {"text": "two"}, "three"]}
Ending = Callable[[Sequence[str], int | None], Outcome]

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"query": None}, "query"),
    ({"query": ""}, "query"),
    ({"query": 5}, "query"),
    ({"query": LONG + "x"}, "query"),
    ({"documents": None}, "documents"),
    ({"documents": []}, "documents"),
    ({"documents": "one"}, "documents"),
    ({"documents": ["x"] * 1001}, "documents"),
    ({"documents": ["x", 5]}, "documents.1"),
    ({"documents": ["x", {"texts": "y"}]}, "documents.1"),
    ({"documents": ["x", {"text": 5}]}, "documents.1"),
    ({"documents": ["x", LONG]}, "documents.1"),
    ({"top_n": 0}, "top_n"),
    ({"top_n": "2"}, "top_n"),
    ({"truncation": 1}, "truncation"),
    ({"model": "embedder"}, "model"),
    ({"model": "nobody"}, "model"),
    ({"max_chunks": 5}, "max_chunks"),
]


def by_length(documents: Sequence[str], top_n: int | None) -> Outcome:
    """The longer the better."""
    result = rerank.result([float(len(document)) for document in documents], top_n, 9)
    return Outcome(Status.SUCCEEDED, Spent(embedding=9), result)


def failing(code: str) -> Ending:
    return lambda documents, top_n: Outcome(Status.FAILED, error=(code, f"{len(documents)} of them"))


@pytest.fixture
def reranking(sessions: Sessions) -> Iterator[Callable[[Ending], None]]:
    """Starts what takes and ends reranking jobs as they come, each as it is told, until the test is over."""
    gone, threads = threading.Event(), []

    def work(ending: Ending) -> None:
        while not gone.wait(0.005):
            with sessions.begin() as session:
                session.execute(update(Worker).values(beat_at=func.now()))
                waiting = session.scalars(select(Job.id).where(Job.type == "rerank", Job.finished_at.is_(None))).all()
            for job_id in waiting:
                tables.dispatch(sessions, job_id)
                claim = tables.claim(sessions, job_id, queue="reranker")
                assert claim is not None
                asked = claim.asked.input
                with sessions.begin() as session:
                    outcome = ending(asked["documents"], asked.get("top_n"))
                    tables.finish(session, job_id, claim.attempt, claim.checkpoint, outcome)

    def start(ending: Ending) -> None:
        tables.worker(sessions, "w1", model="reranker")
        threads.append(threading.Thread(target=work, args=(ending,)))
        threads[-1].start()

    yield start
    gone.set()
    for thread in threads:
        thread.join()


def test_documents_are_answered_the_best_first(api: Api, reranking: Any) -> None:
    """In the shape that Jina's and Cohere's clients read, from texts and from objects with one."""
    reranking(by_length)
    answered = api.post("/v1/rerank", json=ASKED)
    assert answered.status_code == 200, answered.text
    scores = [rerank.relevance(rank) for rank in (5, 3, 3)]
    assert answered.json == {
        "model": "reranker",
        "object": "list",
        "usage": {"prompt_tokens": 9, "total_tokens": 9},
        "results": [{"index": index, "relevance_score": score} for index, score in zip((2, 0, 1), scores, strict=True)],
    }


def test_best_are_shown_with_their_texts_where_that_is_asked_for(api: Api, reranking: Any) -> None:
    reranking(by_length)
    answered = api.post("/v1/rerank", json={**ASKED, "top_n": 2, "return_documents": True, "model": "reranker"})
    shown = [(row["index"], row["document"]) for row in answered.json["results"]]
    assert shown == [(2, {"text": "three"}), (0, {"text": "one"})]


def test_reranking_is_charged_as_a_job(api: Api, reranking: Any) -> None:
    reranking(by_length)
    assert api.post("/v1/rerank", json=ASKED).status_code == 200
    [job] = api.get("/v1/jobs?type=rerank").json["data"]
    assert (job["status"], job["model"], job["usage"]["embedding_tokens"]) == ("succeeded", "reranker", 9)


@pytest.mark.parametrize(("changes", "field"), REFUSED)
def test_wrong_field_is_a_422_that_names_it(api: Api, sessions: Sessions, changes: dict[str, Any], field: str) -> None:
    """Whether it is waited for or not; and no job is made for it."""
    tables.worker(sessions, "w1", model="reranker")
    given = ASKED | changes
    response = api.post("/v1/rerank", json=given)
    assert (response.status_code, response.json["error"]["param"]) == (422, field)
    inner = {name: value for name, value in given.items() if name != "model"}
    model = {"model": changes["model"]} if "model" in changes else {}
    response = api.post("/v1/jobs", json={"type": "rerank", "input": inner, **model})
    named = field if field == "model" else f"input.{field}"
    assert (response.status_code, response.json["error"]["param"]) == (422, named)
    assert api.get("/v1/jobs").json["data"] == []


def test_long_documents_are_taken_where_their_beginning_will_do(api: Api) -> None:
    given = {"query": "Who?", "documents": [LONG], "truncation": True}
    assert api.submit(type="rerank", input=given)["model"] == "reranker"


def test_nobody_who_reranks_is_a_503_that_makes_no_job(api: Api) -> None:
    answered = api.post("/v1/rerank", json=ASKED)
    assert (answered.status_code, answered.json["error"]["code"]) == (503, "unavailable")
    assert api.get("/v1/jobs").json["data"] == []


def test_reranking_that_takes_too_long_is_ended(api: Api, sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    tables.worker(sessions, "w1", model="reranker")
    monkeypatch.setattr(views, "WAIT_S", 0.05)
    answered = api.post("/v1/rerank", json=ASKED)
    assert answered.status_code == 503
    assert "0.05 seconds" in answered.json["error"]["message"]
    [job] = api.get("/v1/jobs?type=rerank").json["data"]
    assert job["status"] == "cancelled"


@pytest.mark.parametrize(
    ("code", "status", "param"), [("context_length_exceeded", 422, "documents"), ("engine_error", 503, None)]
)
def test_failure_is_told_as_what_it_is(api: Api, reranking: Any, code: str, status: int, param: str | None) -> None:
    reranking(failing(code))
    answered = api.post("/v1/rerank", json=ASKED)
    assert (answered.status_code, answered.json["error"]["param"]) == (status, param)
    assert "3 of them" in answered.json["error"]["message"]


def found_and_read(job: Job) -> tuple[Sequence[Event], Outcome]:
    """Every text is embedded in one direction; of documents the longer is the better."""
    if job.type == "embed":
        rows = np.repeat(np.eye(4, dtype=np.float32)[:1], len(job.input["texts"]), axis=0)
        return [], Outcome(Status.SUCCEEDED, Spent(1), {"count": len(rows)}, vectors=rows)
    assert job.input["truncation"]
    return [], by_length(job.input["documents"], job.input["top_n"])


def test_search_is_reranked_where_that_is_asked_for(
    api: Api, sessions: Sessions, client: redis.Redis, caller: Caller
) -> None:
    """Among thirty candidates, in the order of `score`, which is the reranker's; it's a job with a name for it."""
    texts = ["x" * length for length in range(1, 41)]
    near = [[1 - number / 100, number / 100, 0, 0] for number in range(40)]  # the shorter, the nearer
    shelve(sessions, caller, api, *texts, rows=near)
    with sessions.begin() as session:
        session.execute(update(Job).values(finished_at=func.now()))  # the ingest, which nobody is to run
    tables.worker(sessions, "w1", model="embedder")
    asked = {"query": "one", "collection": "books", "top_k": 2}
    missing = api.post("/v1/search", json={**asked, "rerank": True})
    assert (missing.status_code, api.get("/v1/jobs?type=embed").json["data"]) == (503, [])
    tables.worker(sessions, "w2", model="reranker")
    with byhand.working(sessions, client, found_and_read):
        plain = api.post("/v1/search", json={**asked, "rerank": False}).json["results"]
        assert [len(passage["text"]) for passage in plain] == [1, 2]
        for rerank_by in (True, "reranker"):
            answered = api.post("/v1/search", json={**asked, "rerank": rerank_by})
            assert answered.status_code == 200, answered.text
            shown = [(len(passage["text"]), passage["score"]) for passage in answered.json["results"]]
            assert shown == [(30, rerank.relevance(30.0)), (29, rerank.relevance(29.0))]
    job = api.get("/v1/jobs?type=rerank").json["data"][0]
    assert job["metadata"] == {"for": "search"}


@pytest.mark.parametrize("by", ["nobody", "embedder", "", 5, []])
def test_search_names_a_reranker_that_is_there(api: Api, sessions: Sessions, caller: Caller, by: Any) -> None:
    shelve(sessions, caller, api, "one")
    tables.worker(sessions, "w1", model="embedder")
    answered = api.post("/v1/search", json={"query": "one", "collection": "books", "rerank": by})
    assert (answered.status_code, answered.json["error"]["param"]) == (422, "rerank")
    assert api.get("/v1/jobs?type=embed").json["data"] == []


def test_reranking_without_a_reranker_says_where_to_read_of_one(
    api: Api, sessions: Sessions, caller: Caller, catalog_file: Path
) -> None:
    """By the field that would name one; in a page that is there."""
    shelve(sessions, caller, api, "one")
    tables.worker(sessions, "w1", model="embedder")
    catalog_file.write_text(CATALOG.partition("[reranker]")[0])
    search = {"query": "one", "collection": "books", "rerank": True}
    question = {"type": "rag", "input": {"question": "Who?", "collection": "books", "rerank": True}}
    for path, asked, param in (
        ("/v1/rerank", ASKED, "model"),
        ("/v1/search", search, "rerank"),
        ("/v1/jobs", question, "input.rerank"),
        ("/v1/jobs", {"type": "rerank", "input": ASKED}, "type"),
    ):
        error = api.post(path, json=asked).json["error"]
        assert (error["param"], error["message"].partition("; ")[2]) == (
            param,
            "docs/models.md#rerankers tells how to add one",
        )
    assert "## Rerankers\n" in (ROOT / "docs" / "models.md").read_text()
