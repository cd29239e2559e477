"""What jobs that embed and that ask take, and how vectors are shown."""

import base64
from typing import Any

import numpy as np
import pytest

from db import vectors
from db.session import Sessions
from tasks import ids
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.limits.spent import Spent
from tests import tables
from tests.webapi.conftest import Api

LONG = "x" * 64 * 64


def given(**changes: Any) -> dict[str, Any]:
    """A question, with this beside it."""
    return {"input": {"question": "Who?", "collection": "books", **changes}}


REFUSED_TEXTS = [
    ({"input": {"texts": []}}, "input.texts"),
    ({"input": {"texts": "hello"}}, "input.texts"),
    ({"input": {"texts": ["x"] * 2049}}, "input.texts"),
    ({"input": {"texts": ["x", ""]}}, "input.texts.1"),
    ({"input": {"texts": ["x", None]}}, "input.texts.1"),
    ({"input": {"texts": ["x", LONG + "x"]}}, "input.texts.1"),
    ({"input": {"texts": ["x"], "text": "y"}}, "input.text"),
    ({"params": {"temperature": 0}}, "params"),
    ({"model": "alpha"}, "model"),
]

REFUSED_QUESTIONS = [
    ({"input": {"question": "Who?"}}, "input.collection"),
    ({"input": {"question": "", "collection": "books"}}, "input.question"),
    ({"input": {"question": LONG + "x", "collection": "books"}}, "input.question"),
    ({"input": {"question": "Who?", "collection": "nowhere"}}, "input.collection"),
    ({"input": {"question": "Who?", "collection": "b" * 201}}, "input.collection"),
    ({"input": {"question": "Who?", "collection": "books", "top_k": 0}}, "input.top_k"),
    ({"input": {"question": "Who?", "collection": "books", "top_k": 21}}, "input.top_k"),
    (given(messages=[]), "input.messages"),
    (given(messages=[{"role": "user", "content": "x"}] * 101), "input.messages"),
    (given(messages=[{"role": "system", "content": "x"}]), "input.messages.0.role"),
    (given(messages=[{"role": "user", "content": ""}]), "input.messages.0.content"),
    (given(messages=[{"role": "user", "content": "x", "name": "y"}]), "input.messages.0.name"),
    (given(threshold=1.5), "input.threshold"),
    (given(threshold="much"), "input.threshold"),
    (given(filter="year"), "input.filter"),
    (given(filter={"type": "or"}), "input.filter.filters"),
    (given(filter={"type": "eq", "key": "a"}), "input.filter.value"),
    ({"model": "beta"}, "model"),
    ({"model": "embedder"}, "model"),
]


@pytest.mark.parametrize(("changes", "field"), REFUSED_TEXTS)
def test_wrong_texts_are_a_422_that_names_the_place(api: Api, changes: dict[str, Any], field: str) -> None:
    response = api.post("/v1/jobs", json={"type": "embed", "input": {"texts": ["one"]}, **changes})
    assert (response.status_code, response.json["error"]["param"]) == (422, field)


@pytest.mark.parametrize(("changes", "field"), REFUSED_QUESTIONS)
def test_wrong_question_is_a_422_that_names_the_field(api: Api, changes: dict[str, Any], field: str) -> None:
    api.bring()
    given = {"question": "Who?", "collection": "books"}
    response = api.post("/v1/jobs", json={"type": "rag", "input": given, **changes})
    assert (response.status_code, response.json["error"]["param"]) == (422, field)


def test_question_shows_the_model_that_will_answer(api: Api) -> None:
    api.bring()
    job = api.submit(type="rag", input={"question": "Who?", "collection": "books"})
    assert (job["type"], job["model"], job["status"]) == ("rag", "alpha", "queued")


def test_ingest_is_no_job_to_be_asked_for_directly(api: Api) -> None:
    response = api.post("/v1/jobs", json={"type": "ingest", "input": {"collection": "books", "documents": []}})
    assert (response.status_code, response.json["error"]["param"]) == (422, "type")


def test_vectors_are_shown_where_one_job_is_asked_for(api: Api, sessions: Sessions) -> None:
    """As numbers that give the float32 back exactly, or as base64 of their bytes; lists have what the record says."""
    job = api.submit(type="embed", input={"texts": ["one", "two"]})
    given = np.array([[0.1, -0.2, 1 / 3], [1e-8, 0.5, -1.0]], np.float32)
    job_id = ids.parse(job["id"])
    assert job_id is not None
    tables.dispatch(sessions, job_id)
    claim = tables.claim(sessions, job_id, queue="embedder")
    assert claim is not None
    outcome = Outcome(Status.SUCCEEDED, Spent(2), {"count": 2}, vectors=given)
    with sessions.begin() as session:
        tables.finish(session, job_id, claim.attempt, claim.checkpoint, outcome)
    shown = api.get(job["links"]["self"]).json["result"]
    assert shown["dimensions"] == 3
    assert np.array_equal(np.array(shown["embeddings"], np.float32), given)
    packed = api.get(job["links"]["self"] + "?encoding_format=base64").json["result"]["embeddings"]
    assert [base64.b64decode(one) for one in packed] == [row.tobytes() for row in given]
    assert api.get("/v1/jobs").json["data"][0]["result"] == {"count": 2}
    assert api.get(job["links"]["self"] + "?encoding_format=hex").status_code == 422
    with sessions() as session:
        assert vectors.load(session, job_id).shape == (2, 3)
