"""Jobs that embed, ask and ingest, stage by stage, on real PostgreSQL and Redis with echo engines."""

import math
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from db import documents as kept
from db import vectors
from db.scope import scope
from db.session import Sessions
from tasks import catalog, documents, ending, errors, holdings, ids, jobs, questions, stages, stream
from tasks.documents import NewDocument
from tasks.keys import Caller
from tasks.record import Record
from tests import tables
from tests.workers.conftest import MakeWorker
from workers import embedding as embedding_stage
from workers import reporter, run
from workers.attempt import Attempt
from workers.engines.echo import Echo
from workers.worker import Worker

FACTS = "The red lamp is in the kitchen.\n\nOscar likes honey.\n\nThe boat costs 42 coins."


LONG = " ".join(f"word{number}" for number in range(800))


def submitted(sessions: Sessions, caller: Caller, **changes: Any) -> uuid.UUID:
    job_id = tables.submit(sessions, caller, **changes).id
    tables.dispatch(sessions, job_id)
    return job_id


def embedding(sessions: Sessions, caller: Caller, *texts: str) -> uuid.UUID:
    return submitted(sessions, caller, type="embed", model="embedder", input={"texts": list(texts)}, params={})


def ingesting(sessions: Sessions, caller: Caller, *new: NewDocument) -> uuid.UUID:
    with sessions.begin() as session:
        job_id = documents.ingest(session, tables.MODELS, caller, "facts", None, new, "interactive", 5, {}).id
    tables.dispatch(sessions, job_id)
    return job_id


def asking(sessions: Sessions, caller: Caller, question: str, **params: Any) -> uuid.UUID:
    given = {"question": question, "collection": "facts", "top_k": 2}
    wanted = tables.submission(type="rag", input=given, params={"temperature": 0, **params})
    with sessions.begin() as session:
        job_id = questions.submit(session, tables.MODELS, caller, wanted).id
    tables.dispatch(sessions, job_id)
    return job_id


def written(text: str, title: str | None = None) -> NewDocument:
    return NewDocument(text, None, "text", title, None, {"from": "test"})


def filed(raw: bytes, kind: str = "text") -> NewDocument:
    return NewDocument(None, raw, kind, None, f"notes.{kind}", {})


def die_at(lot: int) -> Callable[[int], None]:
    def die(number: int) -> None:
        if number == lot:
            raise SystemExit

    return die


def look(sessions: Sessions, caller: Caller, job_id: uuid.UUID) -> Record:
    with sessions() as session:
        return jobs.get(session, caller, job_id)


def sent(worker: Worker) -> list[str]:
    """Runs the refiller as long as it has something to do; what it sent."""
    worker.gone.set()
    worker.refiller.run(worker.gone)
    worker.gone.clear()
    post: Any = worker.dispatcher.app
    return list(post.sent)


def test_embed_job_ends_with_its_vectors_beside_the_record(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """The record and the stream link to them; usage is every token; what is kept is what the engine gave."""
    job_id = embedding(sessions, caller, "one two three", "four")
    run.run(make_worker("embedder"), job_id)
    record = look(sessions, caller, job_id)
    assert record.result == {"count": 2, "dimensions": 16, "link": f"/v1/jobs/{ids.show(job_id)}"}
    assert tables.usage_rows(sessions, job_id) == [(4, 0)]
    with sessions() as session:
        stored = vectors.load(session, job_id)
    echo = Echo("echo", 1, 64)
    assert np.array_equal(stored, echo.embed(echo.tokenize(["one two three", "four"])))
    events = stream.read(make_worker("embedder").client, job_id)
    assert [event.entry.type for event in events] == ["started", "succeeded"]
    assert events[-1].entry.data == record.as_json()


def test_text_too_long_for_the_model_fails_its_job_by_number(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    job_id = embedding(sessions, caller, "short", "word " * 65)
    run.run(make_worker("embedder"), job_id)
    assert look(sessions, caller, job_id).error == {
        "code": "context_length_exceeded",
        "message": "text 1 has 65 tokens; the model takes 64",
    }


def test_question_is_answered_from_its_passages_in_two_stages(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """Found on one model, answered on another; one job, one usage row, both models' tokens."""
    run.run(make_worker("embedder"), ingesting(sessions, caller, written(FACTS)))
    job_id = asking(sessions, caller, "Where is the lamp?", max_tokens=3)
    finder, writer = make_worker("embedder"), make_worker("alpha")
    tables.worker(sessions, "other", model="alpha")
    run.run(finder, job_id)
    assert tables.column(sessions, job_id, "stage") == stages.GENERATE
    assert look(sessions, caller, job_id).status == "queued"
    assert str(job_id) in sent(finder)
    run.run(writer, job_id)
    record = look(sessions, caller, job_id)
    assert (record.status, record.model) == ("succeeded", "alpha")
    assert record.result is not None
    assert record.result["text"] == "Answer the question "
    assert [passage["text"] for passage in record.result["passages"]] == [FACTS]
    assert record.result["passages"][0]["metadata"] == {"from": "test"}
    assert record.usage is not None
    assert record.usage["embedding_tokens"] == 4
    events = stream.read(writer.client, job_id)
    assert [event.entry.type for event in events][:3] == ["started", "passages", "delta"]
    assert events[1].entry.data["passages"] == record.result["passages"]
    assert len(tables.usage_rows(sessions, job_id)) == 1


def test_question_to_a_collection_deleted_meanwhile_fails_by_name(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    finder = make_worker("embedder")
    run.run(finder, ingesting(sessions, caller, written(FACTS)))
    job_id = asking(sessions, caller, "Where is the lamp?")
    with sessions.begin() as session, scope(session, caller.tenant_id):
        kept.remove_collection(session, caller.tenant_id, "facts")
    run.run(finder, job_id)
    error = look(sessions, caller, job_id).error
    assert error is not None
    assert error["code"] == "collection_not_found"


def test_files_are_read_on_the_control_worker_and_embedded_on_the_model(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """A file that holds no text fails alone, and is named in the result."""
    job_id = ingesting(sessions, caller, filed(FACTS.encode()), filed(b"no pdf", "pdf"), written("Anna has a cat."))
    control = make_worker(catalog.CONTROL)
    assert tables.column(sessions, job_id, "model") == catalog.CONTROL
    run.run(control, job_id)
    assert tables.column(sessions, job_id, "model") == "embedder"
    tables.dispatch(sessions, job_id)
    run.run(make_worker("embedder"), job_id)
    record = look(sessions, caller, job_id)
    assert (record.status, record.model) == ("succeeded", "embedder")
    assert record.result is not None
    told = record.result["documents"]
    assert [document["status"] for document in told] == ["ready", "failed", "ready"]
    assert told[1]["error"]["code"] == "unreadable_document"
    assert record.progress is not None
    assert record.progress["done"] == record.progress["total"]
    assert search(sessions, caller, "the red lamp") == FACTS


def test_ingest_of_nothing_readable_fails(sessions: Sessions, caller: Caller, make_worker: MakeWorker) -> None:
    job_id = ingesting(sessions, caller, filed(b"no pdf", "pdf"))
    run.run(make_worker(catalog.CONTROL), job_id)
    record = look(sessions, caller, job_id)
    assert record.status == "failed"
    assert record.error is not None
    assert record.error["code"] == "unreadable_document"


def test_text_of_white_space_is_no_document(sessions: Sessions, caller: Caller, make_worker: MakeWorker) -> None:
    job_id = ingesting(sessions, caller, written(" \n "), written(FACTS))
    run.run(make_worker("embedder"), job_id)
    record = look(sessions, caller, job_id)
    assert record.result is not None
    assert [document["status"] for document in record.result["documents"]] == ["failed", "ready"]


def test_ingest_goes_on_with_the_documents_that_are_missing(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """A worker that dies after the first document: the next attempt embeds only the second."""
    job_id = ingesting(sessions, caller, written("Anna has a cat."), written(FACTS))
    dying = make_worker("embedder", Dying("embedder", 2, 64))
    with pytest.raises(SystemExit):
        run.run(dying, job_id)
    tables.dispatch(sessions, job_id)
    run.run(make_worker("embedder"), job_id)
    record = look(sessions, caller, job_id)
    assert record.status == "succeeded"
    assert record.result is not None
    assert [document["status"] for document in record.result["documents"]] == ["ready", "ready"]
    assert record.attempt == 2


def test_ingest_goes_on_with_the_lots_that_are_missing(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that dies in a document: the next attempt embeds the rest; each chunk is there and is paid for once."""
    monkeypatch.setattr(embedding_stage, "CHUNKS_OF_A_LOT", 2)
    calm = ingesting(sessions, caller, written(LONG))
    run.run(make_worker("embedder"), calm)
    job_id = ingesting(sessions, caller, written("Anna has a cat."), written(LONG))
    with pytest.raises(SystemExit):
        run.run(make_worker("embedder", Meddled(die_at(4))), job_id)
    again: list[int] = []
    tables.dispatch(sessions, job_id)
    run.run(make_worker("embedder", Meddled(again.append)), job_id)
    record, undisturbed = look(sessions, caller, job_id), look(sessions, caller, calm)
    assert (record.status, record.attempt) == ("succeeded", 2)
    assert record.result is not None
    assert undisturbed.result is not None
    assert record.result["chunks"] == undisturbed.result["chunks"] + 1
    assert len(again) == math.ceil(undisturbed.result["chunks"] / 2) - 3
    assert record.usage is not None
    assert undisturbed.usage is not None
    assert record.usage["prompt_tokens"] == undisturbed.usage["prompt_tokens"] + 4
    with sessions.begin() as session:
        kept = session.execute(text("SELECT number, count(*) FROM chunks GROUP BY 1 ORDER BY 1")).all()
    assert [tuple(row) for row in kept] == [(n, 2 + (n == 0)) for n in range(undisturbed.result["chunks"])]


def test_cancelled_ingest_is_charged_for_what_it_stored(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many attempts that took."""
    monkeypatch.setattr(embedding_stage, "CHUNKS_OF_A_LOT", 2)
    job_id = ingesting(sessions, caller, written(LONG))
    with pytest.raises(SystemExit):
        run.run(make_worker("embedder", Meddled(die_at(3))), job_id)
    spent = tables.column(sessions, job_id, "prompt_tokens")
    with sessions.begin() as session:
        record, _ = ending.cancel(session, make_worker().client, caller, job_id, 60)
    assert record.usage == {"prompt_tokens": spent, "completion_tokens": 0}


@pytest.mark.parametrize("what", ["document", "collection"])
def test_ingest_goes_on_without_what_is_deleted_meanwhile(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """It ends well, and is charged for what was embedded by then."""
    monkeypatch.setattr(embedding_stage, "CHUNKS_OF_A_LOT", 2)

    def meddle(lot: int) -> None:
        with sessions.begin() as session:
            if lot == 2 and what == "collection":
                holdings.delete_collection(session, caller, "facts")
            elif lot == 2:
                _, first = holdings.page(session, caller, limit=2)[0]
                holdings.delete(session, caller, first.id)

    job_id = ingesting(sessions, caller, written(LONG), written("Anna has a cat."))
    run.run(make_worker("embedder", Meddled(meddle)), job_id)
    record = look(sessions, caller, job_id)
    assert record.status == "succeeded"
    assert record.result is not None
    assert [document["status"] for document in record.result["documents"]] == ["ready"] * (what == "document")
    assert record.usage is not None
    assert record.usage["prompt_tokens"] > 3 * 48


def test_documents_fail_alone(sessions: Sessions, caller: Caller, make_worker: MakeWorker) -> None:
    """Whether the engine refuses it or it can't be cut; the others are found."""
    new = [written("Refuse this."), written("Explode."), written(FACTS)]
    job_id = ingesting(sessions, caller, *new)
    run.run(make_worker("embedder", Picky("embedder", 2, 64)), job_id)
    record = look(sessions, caller, job_id)
    assert record.status == "succeeded"
    assert record.result is not None
    told = [document.get("error", {}).get("code") for document in record.result["documents"]]
    assert told == ["engine_refused", "unreadable_document", None]
    assert search(sessions, caller, "the red lamp") == FACTS


@pytest.mark.parametrize("stage", [stages.EXTRACT, stages.EMBED_DOCUMENTS])
def test_progress_counts_the_bytes_of_all_documents(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, stage: str
) -> None:
    """What an earlier attempt did is done."""
    contents = "Anna has a cat.", "Explode."
    first, second = (filed(text.encode()) if stage == stages.EXTRACT else written(text) for text in contents)
    job_id = ingesting(sessions, caller, first, second)
    with sessions.begin() as session:
        done = documents.work(session, caller.tenant_id, job_id).waiting[0]
        documents.failed(session, caller.tenant_id, done.id, "x", "y")
    model = catalog.CONTROL if stage == stages.EXTRACT else "embedder"
    worker = make_worker(model)
    claim = tables.claim(sessions, job_id, model=model)
    assert claim is not None
    attempt = Attempt(claim)
    seen: list[tuple[int, int]] = []
    real = reporter.Reporter.report

    def report(self: reporter.Reporter, done: int, total: int, tokens: int) -> None:
        seen.append((done, total))
        real(self, done, total, tokens)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reporter.Reporter, "report", report)
        run.produce(worker, attempt, run.open_stream(worker, attempt))
    assert (seen[0], seen[-1]) == ((15, 23), (23, 23))


def test_question_to_a_collection_made_anew_with_another_model_fails_by_name(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """Vectors of two models can't be compared, though their dimensions are the same."""
    finder = make_worker("embedder")
    run.run(finder, ingesting(sessions, caller, written(FACTS)))
    job_id = asking(sessions, caller, "Where is the lamp?")
    with sessions.begin() as session:
        session.execute(text("UPDATE collections SET model = 'another'"))
    run.run(finder, job_id)
    error = look(sessions, caller, job_id).error
    assert error is not None
    assert error["code"] == "collection_not_found"


def test_stage_that_was_taken_over_passes_nothing_on(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """Its attempt is no longer the newest: the job stays where the newer one put it."""
    finder = make_worker("embedder")
    run.run(finder, ingesting(sessions, caller, written(FACTS)))
    job_id = asking(sessions, caller, "Where is the lamp?")
    claim = tables.claim(sessions, job_id, model="embedder")
    assert claim is not None
    with sessions.begin() as session:
        onward = jobs.Onward(stages.GENERATE, "alpha", {"passages": []})
        assert not jobs.advance(session, job_id, claim.attempt - 1, claim.checkpoint, onward)
        assert jobs.advance(session, job_id, claim.attempt, claim.checkpoint, onward)
    assert tables.column(sessions, job_id, "stage") == stages.GENERATE


class Meddled(Echo):
    """Does something before it counts the tokens of the n-th lot, of which each has one text or two."""

    def __init__(self, meddle: Callable[[int], object]) -> None:
        super().__init__("embedder", 2, 64)
        self._meddle, self._lots = meddle, 0

    def tokenize(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        if len(texts) <= 2 and all("word" in text for text in texts):
            self._lots += 1
            self._meddle(self._lots)
        return super().tokenize(texts)


class Picky(Echo):
    """Refuses to embed a text, and counts a word of another as more than any piece holds."""

    def tokenize(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        counted = zip(texts, super().tokenize(texts), strict=True)
        return [(1,) * 999 if text and text in "Explode." else ids for text, ids in counted]

    def embed(self, inputs: Sequence[Sequence[int]]) -> Any:
        refused = super().tokenize(["refuse"])[0][0]
        if any(refused in ids for ids in inputs):
            raise errors.EngineRefused("no")
        return super().embed(inputs)


class Dying(Echo):
    """Ends its worker's thread when it is to count the tokens of a second document."""

    def tokenize(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        if any("lamp" in text for text in texts):
            raise SystemExit
        return super().tokenize(texts)


def search(sessions: Sessions, caller: Caller, query: str) -> str:
    echo = Echo("echo", 1, 64)
    with sessions.begin() as session:
        vector = echo.embed(echo.tokenize([query]))[0]
        found = documents.search(session, caller.tenant_id, "facts", query, vector, model="embedder", top_k=1)
    return found[0].text
