"""Embeddings, documents, search and questions, from HTTP to the answer, on the demo models."""

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from tests.support.catalogs import without_embedding_model
from tests.support.events import told
from tests.support.platform import Stack
from tests.workers import papers

FACTS = "The code of the harbour is 19.\n\nClara works as a nurse.\n\nThe boat costs 42 coins."
PAGE = "<html><title>Lamps</title><body><script>no()</script><p>The red lamp is in the kitchen.</p></body></html>"

pytestmark = without_embedding_model


@pytest.fixture(scope="module")
def http(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url, headers=stack.headers, timeout=70) as client:
        yield client


@pytest.fixture(scope="module")
def facts(http: httpx.Client) -> str:
    """A collection with a text and four files in it."""
    texts = {"collection": "facts", "documents": [{"text": FACTS, "title": "Facts", "metadata": {"kind": "sheet"}}]}
    written = ended(http, accepted(http.post("/v1/documents", json=texts)))
    assert (written["status"], written["type"], written["result"]["chunks"]) == ("succeeded", "ingest", 1)
    files = {
        "notes.txt": "Oscar likes honey.".encode("utf-16"),
        "notes.md": b"# Boats\n\nThe green boat is near the tower.",
        "page.html": PAGE.encode(),
        "paper.pdf": papers.pages(papers.shown("The owl lives in the tower.")),
        "broken.pdf": b"%PDF-1.7 and nothing more",
    }
    form = {"collection": "facts", "metadata": '{"kind": "file"}'}
    sent = http.post("/v1/documents", data=form, files=[("file", file) for file in files.items()])
    filed = ended(http, accepted(sent))
    files_told = {document["filename"]: document for document in filed["result"]["documents"]}
    assert [files_told[name]["status"] for name in files] == ["ready", "ready", "ready", "ready", "failed"]
    assert files_told["broken.pdf"]["error"]["code"] == "unreadable_document"
    return "facts"


def accepted(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def ended(http: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    return dict(http.get(job["links"]["self"], params={"wait": 60}).json())


def test_embeddings_come_as_numbers_or_as_base64(http: httpx.Client) -> None:
    """Numbers or base64 hold one and the same float32; lists and the stream's last event only link to them."""
    job = accepted(http.post("/v1/jobs", json={"type": "embed", "input": {"texts": ["a cat", "a feline", "shares"]}}))
    record = ended(http, job)
    assert record["usage"] == {"prompt_tokens": 12, "completion_tokens": 0}
    vectors = np.array(record["result"]["embeddings"], np.float32)
    assert vectors.shape == (3, record["result"]["dimensions"]) == (3, 384)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
    packed = http.get(job["links"]["self"], params={"encoding_format": "base64"}).json()["result"]["embeddings"]
    assert np.array_equal(np.array([np.frombuffer(base64.b64decode(one), "<f4") for one in packed]), vectors)
    link = {"count": 3, "dimensions": 384, "link": job["links"]["self"]}
    assert http.get("/v1/jobs", params={"type": "embed"}).json()["data"][0]["result"] == link
    assert "embeddings" not in http.get(job["links"]["events"]).text


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("Where can I find the lamp?", "The red lamp is in the kitchen."),
        ("Who is fond of something sweet?", "Oscar likes honey."),
        ("tower boat", "The green boat is near the tower."),
        ("Which bird lives high up?", "The owl lives in the tower."),
    ],
)
def test_search_finds_the_chunk_that_says_it(http: httpx.Client, facts: str, query: str, text: str) -> None:
    answer = http.post("/v1/search", json={"query": query, "collection": facts, "top_k": 1})
    assert answer.status_code == 200, answer.text
    assert text in answer.json()["results"][0]["text"]


def test_search_is_narrowed_by_metadata_and_threshold(http: httpx.Client, facts: str) -> None:
    asked = {"query": "The code of the harbour", "collection": facts}
    sheet = http.post("/v1/search", json={**asked, "filter": {"kind": "sheet"}}).json()["results"]
    assert [(found["title"], found["metadata"]) for found in sheet] == [("Facts", {"kind": "sheet"})]
    assert http.post("/v1/search", json={**asked, "threshold": 0.99}).json()["results"] == []


def test_question_is_answered_from_the_documents(http: httpx.Client, facts: str) -> None:
    """The passages come first, then the answer, whose source is among them and is named."""
    given = {"question": "What is the code of the harbour?", "collection": facts}
    job = accepted(http.post("/v1/jobs", json={"type": "rag", "input": given, "params": {"temperature": 0}}))
    record = ended(http, job)
    assert (record["status"], record["model"]) == ("succeeded", "demo-chat")
    assert record["result"]["text"] == "The code of the harbour is 19."
    assert FACTS in [passage["text"] for passage in record["result"]["passages"]]
    assert record["usage"]["embedding_tokens"] == 10
    events = told(http.get(job["links"]["events"]).text)
    assert [event.type for event in events[:4]] == ["started", "question", "passages", "delta"]
    [citation] = record["result"]["citations"]
    [source] = citation["passages"]
    assert record["result"]["passages"][source["passage"] - 1]["text"] == FACTS


def test_question_to_an_unknown_collection_is_refused(http: httpx.Client) -> None:
    given = {"question": "Who?", "collection": "nowhere"}
    answer = http.post("/v1/jobs", json={"type": "rag", "input": given})
    assert answer.status_code == 422
    assert answer.json()["error"]["param"] == "input.collection"


def test_deleted_document_is_found_no_more(http: httpx.Client) -> None:
    texts = {"collection": "brief", "documents": [{"text": "Here today."}, {"text": "Here tomorrow."}]}
    record = ended(http, accepted(http.post("/v1/documents", json=texts)))
    first, second = (document["id"] for document in record["result"]["documents"])
    assert http.delete(f"/v1/documents/{first}").status_code == 204
    assert http.get(f"/v1/documents/{first}").status_code == 404
    found = http.post("/v1/search", json={"query": "here", "collection": "brief"}).json()["results"]
    assert [passage["document_id"] for passage in found] == [second]
    assert http.delete("/v1/collections/brief").status_code == 204
    assert http.get(f"/v1/documents/{second}").status_code == 404
