"""Whatever dies under a job of several stages: one end, one usage row, every chunk once, the same answer."""

import signal
from typing import Any

import psutil
import pytest

from tests.conftest import without_embedding_model
from tests.faults.conftest import Platform, Reader, eventually

pytestmark = without_embedding_model

EMBEDDER = "worker-demo-embed"
TEXTS = [f"The lamp of room {number} is in the cellar. " * 8 for number in range(80)]
ASKED = {"question": "Where is the lamp of room 7?", "collection": "rooms", "top_k": 2}


def embedding(platform: Platform) -> Reader:
    """A job in the middle of its texts."""
    platform.await_worker("demo-embed")
    reader = platform.post("/v1/jobs", json={"type": "embed", "input": {"texts": TEXTS}})
    eventually(lambda: reader.events("progress"))
    return reader


def ingesting(platform: Platform, collection: str) -> Reader:
    """A job in the middle of its documents."""
    platform.await_worker("demo-embed")
    documents = [{"text": text} for text in TEXTS[:60]]
    reader = platform.post("/v1/documents", json={"collection": collection, "documents": documents})
    eventually(lambda: stored(platform, collection) > 3)
    return reader


def stored(platform: Platform, collection: str) -> int:
    """How many of its chunks there are."""
    counted = "SELECT count(*) FROM chunks c JOIN collections k ON k.id = c.collection_id WHERE k.name = :name"
    return int(platform.rows(counted, name=collection)[0][0])


def asking(platform: Platform) -> Reader:
    """A question with a seed. Its words are not compared between runs: the weights are random, and what else was in
    a batch turns their choice over (ADR 13).
    """
    params = {"temperature": 0.8, "seed": 7, "max_tokens": 250}
    return platform.post("/v1/jobs", json={"type": "rag", "input": ASKED, "params": params})


def whole(platform: Platform, reader: Reader) -> dict[str, Any]:
    """The job, ended well and told without a gap."""
    reader.whole()
    job = platform.job(reader)
    assert job["status"] == "succeeded", job["error"]
    assert reader.numbers() == list(range(1, len(reader.seen) + 1))
    assert len(platform.rows("SELECT 1 FROM ledger WHERE job_id = :id", id=reader.job_id[4:])) == 1
    return job


@pytest.fixture(scope="module")
def undisturbed(platform: Platform) -> dict[str, Any]:
    """What a question is answered when nothing happens, over documents that came in when nothing happened."""
    platform.await_worker("demo-embed")
    documents = [{"text": text} for text in TEXTS[:20]]
    whole(platform, platform.post("/v1/documents", json={"collection": "rooms", "documents": documents}))
    platform.await_worker()
    return dict(whole(platform, asking(platform))["result"])


@pytest.mark.parametrize("victim", ["worker", "host"])
def test_embedding_goes_on_after_a_death(platform: Platform, victim: str) -> None:
    """Every text has its vector, and each is paid for once."""
    reader = embedding(platform)
    (platform.worker(EMBEDDER) if victim == "worker" else platform.host(EMBEDDER)).kill()
    job = whole(platform, reader)
    assert len(job["result"]["embeddings"]) == len(TEXTS)
    assert job["attempt"] == (2 if victim == "worker" else 1)
    calm = whole(platform, platform.post("/v1/jobs", json={"type": "embed", "input": {"texts": TEXTS}}))
    assert job["usage"] == calm["usage"]


@pytest.mark.parametrize("victim", ["worker", "host", "SIGTERM"])
def test_ingest_stores_every_document_once(platform: Platform, victim: str) -> None:
    reader = ingesting(platform, victim)
    if victim == "SIGTERM":
        platform.worker(EMBEDDER).send_signal(signal.SIGTERM)
    else:
        (platform.worker(EMBEDDER) if victim == "worker" else platform.host(EMBEDDER)).kill()
    job = whole(platform, reader)
    assert [document["status"] for document in job["result"]["documents"]] == ["ready"] * 60
    assert stored(platform, victim) == job["result"]["chunks"]
    lost = "SELECT count(*) FROM job_attempts WHERE job_id = :id AND how = 'lost'"
    assert platform.rows(lost, id=reader.job_id[4:]) == [(int(victim == "worker"),)]


def test_extraction_is_taken_over_when_the_control_worker_dies(platform: Platform) -> None:
    """Its child goes with it, and the files are read by the next."""
    page = b"<div>" * 60_000 + b"The lamp is here."
    reader = platform.post("/v1/documents", data={"collection": "pages"}, files=[("file", ("page.html", page))])
    control = platform.worker("control")
    eventually(control.children)
    [child] = control.children()
    control.kill()
    job = whole(platform, reader)
    assert [document["status"] for document in job["result"]["documents"]] == ["ready"]
    eventually(lambda: not psutil.pid_exists(child.pid))


def test_question_whose_finder_dies_is_given_the_same_passages(platform: Platform, undisturbed: dict[str, Any]) -> None:
    """The embedding worker is dead when the question comes: it waits, and is found by the sweep."""
    platform.await_worker("demo-embed")
    platform.worker(EMBEDDER).kill()
    reader = asking(platform)
    assert whole(platform, reader)["result"]["passages"] == undisturbed["passages"]


@pytest.mark.parametrize("fault", ["worker", "host", "redis"])
def test_question_disturbed_in_its_answer_goes_on_with_what_was_found_and_read(
    platform: Platform, undisturbed: dict[str, Any], fault: str
) -> None:
    """What the first stage found is in PostgreSQL; words that were read stay, though the rest is drawn anew."""
    platform.await_worker()
    platform.await_worker("demo-embed")
    reader = asking(platform)
    reader.until(5)
    read = "".join(reader.deltas())
    if fault == "redis":
        platform.redis.flushall()
    else:
        (platform.worker() if fault == "worker" else platform.host()).kill()
    job = whole(platform, reader)
    assert reader.events("passages") == [{"passages": undisturbed["passages"]}]
    assert reader.events("restarted") == []
    assert len(read) > 0
    assert "".join(reader.deltas()) == job["result"]["text"]
    assert job["result"]["text"].startswith(read)
    assert job["result"]["passages"] == undisturbed["passages"]


def test_question_cancelled_between_its_stages_ends_there(platform: Platform, undisturbed: dict[str, Any]) -> None:
    """The model that would answer is busy elsewhere: the job waits for it, is cancelled, and is never claimed again."""
    worker = platform.worker()
    worker.suspend()
    try:
        reader = asking(platform)
        staged = "SELECT stage FROM jobs WHERE id = :id"
        eventually(lambda: platform.rows(staged, id=reader.job_id[4:]) == [("generate",)])
        platform.cancel(reader)
    finally:
        worker.resume()
    reader.whole()
    job = platform.job(reader)
    assert (job["status"], job["result"]) == ("cancelled", None)
    assert reader.events("delta") == []
