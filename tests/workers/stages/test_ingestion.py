"""Ingest jobs, on real PostgreSQL and Redis with echo engines."""

import math
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from sqlalchemy import text

from db.session import Sessions
from tasks import errors
from tasks.documents import ingest, library
from tasks.documents.chunking import Piece
from tasks.jobs import attempts, endings, stages
from tasks.keys import Caller
from tasks.models import catalog
from tests import tables
from tests.workers.conftest import MakeWorker
from tests.workers.staged import FACTS, embedding, filed, ingesting, look, search, written
from workers import run, slot
from workers.attempt import Attempt
from workers.cutting.parent import Cutter
from workers.engines.echo import Echo
from workers.stages import embed_documents, extract, progress
from workers.worker import PARTS_AT_ONCE, Worker

LONG = " ".join(f"word{number}" for number in range(800))


def die_at(lot: int) -> Callable[[int], None]:
    def die(number: int) -> None:
        if number == lot:
            raise SystemExit

    return die


def test_files_are_read_on_the_control_worker_and_embedded_on_the_model(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """A file that holds no text fails alone, and is named in the result."""
    job_id = ingesting(sessions, caller, filed(FACTS.encode()), filed(b"no pdf", "pdf"), written("Anna has a cat."))
    control = make_worker(catalog.CONTROL)
    assert tables.column(sessions, job_id, "queue") == catalog.CONTROL
    run.run(control, job_id)
    assert tables.column(sessions, job_id, "queue") == "embedder"
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
    monkeypatch.setattr(embed_documents, "CHUNKS_OF_A_LOT", 2)
    calm = ingesting(sessions, caller, written(LONG), collection="calm")
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
    monkeypatch.setattr(embed_documents, "CHUNKS_OF_A_LOT", 2)
    job_id = ingesting(sessions, caller, written(LONG))
    with pytest.raises(SystemExit):
        run.run(make_worker("embedder", Meddled(die_at(3))), job_id)
    spent = tables.column(sessions, job_id, "prompt_tokens")
    record, _ = endings.cancel(sessions, make_worker().client, caller, job_id, 60)
    assert record.usage == {"prompt_tokens": spent, "completion_tokens": 0}


@pytest.mark.parametrize("what", ["document", "collection"])
def test_ingest_goes_on_without_what_is_deleted_meanwhile(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """It ends well, and is charged for what was embedded by then."""
    monkeypatch.setattr(embed_documents, "CHUNKS_OF_A_LOT", 2)

    def meddle(lot: int) -> None:
        with sessions.begin() as session:
            if lot == 2 and what == "collection":
                library.delete_collection(session, caller, "facts")
            elif lot == 2:
                _, first = library.page(session, caller, limit=2)[0]
                library.delete(session, caller, first.id)

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
        done = ingest.work(session, caller.tenant_id, job_id).waiting[0]
        ingest.failed(session, caller.tenant_id, done.id, "x", "y")
    model = catalog.CONTROL if stage == stages.EXTRACT else "embedder"
    worker = make_worker(model)
    claim = tables.claim(sessions, job_id, queue=model)
    assert claim is not None
    attempt = Attempt(claim)
    seen: list[tuple[int, int]] = []
    real = progress.Reporter.report

    def report(self: progress.Reporter, done: int, total: int, tokens: int = 0) -> None:
        seen.append((done, total))
        real(self, done, total, tokens)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress.Reporter, "report", report)
        run.produce(worker, attempt, run.open_stream(worker, attempt))
    assert (seen[0], seen[-1]) == ((15, 23), (23, 23))


@pytest.fixture
def gives_way(monkeypatch: pytest.MonkeyPatch, sessions: Sessions) -> None:
    """Whoever runs looks after each part whether its slot is wanted, and another tenant waits for every model."""
    monkeypatch.setattr(slot, "_LOOK_S", 0.0)
    monkeypatch.setattr(embed_documents, "CHUNKS_OF_A_LOT", 2)
    neighbour = tables.tenant(sessions, "neighbour")
    embedding(sessions, neighbour, "one text")
    ingesting(sessions, neighbour, filed(b"another's"))


def test_ingest_gives_its_slot_back_after_a_lot_and_is_cut_once(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, gives_way: None
) -> None:
    """In as many attempts as there are lots, none of which is a crash, and nothing is done twice."""
    job_id = ingesting(sessions, caller, written(LONG))
    worker = one_slot(make_worker("embedder"))
    worker.cutter = cutter = Counting()
    attempts_made = 0
    while tables.column(sessions, job_id, "status") != "succeeded":
        run.run(worker, job_id)
        attempts_made += 1
        assert (tables.column(sessions, job_id, "queue"), tables.column(sessions, job_id, "crashes")) == ("embedder", 0)
        if tables.column(sessions, job_id, "status") == "queued":
            tables.dispatch(sessions, job_id)
    record = look(sessions, caller, job_id)
    assert record.result is not None
    assert attempts_made == math.ceil(record.result["chunks"] / 2) > 2
    assert cutter.cuts == 1
    with sessions() as session:
        ends = [attempt["how"] for attempt in attempts.shown(session, job_id)]
    assert ends == ["passed_on"] * (attempts_made - 1) + ["succeeded"]


def test_ingest_gives_its_slot_back_after_a_file_and_goes_on_with_the_next(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, gives_way: None
) -> None:
    job_id = ingesting(sessions, caller, filed(b"<p>one", "html"), filed(b"<p>two", "html"))
    worker = one_slot(make_worker(catalog.CONTROL))
    run.run(worker, job_id)
    assert tables.column(sessions, job_id, "stage") == stages.EXTRACT
    assert look(sessions, caller, job_id).status == "queued"
    with sessions() as session:
        first, second = ingest.work(session, caller.tenant_id, job_id).waiting
    assert (first.is_file, second.is_file) == (False, True)
    tables.dispatch(sessions, job_id)
    claim = tables.claim(sessions, job_id, queue=catalog.CONTROL)
    assert claim is not None
    assert claim.stage_input is not None
    assert claim.stage_input["spent_s"] > 0


def test_files_that_are_left_have_the_seconds_of_all_the_files_of_their_job(
    sessions: Sessions,
    caller: Caller,
    make_worker: MakeWorker,
    monkeypatch: pytest.MonkeyPatch,
    gives_way: None,
) -> None:
    """What others took isn't taken from fewer seconds once the slot was given back."""
    monkeypatch.setattr(extract, "JOB_S", 0.0)
    monkeypatch.setattr(extract, "FILE_S", 100.0)
    job_id = ingesting(sessions, caller, filed(b"<p>one", "html"), filed(b"<p>two", "html"))
    worker = one_slot(make_worker(catalog.CONTROL))
    run.run(worker, job_id)
    spent = text("UPDATE jobs SET stage_input = jsonb_set(stage_input::jsonb, '{spent_s}', '150') WHERE id = :id")
    with sessions.begin() as session:
        session.execute(spent, {"id": job_id})
    tables.dispatch(sessions, job_id)
    run.run(worker, job_id)
    with sessions() as session:
        waiting = ingest.work(session, caller.tenant_id, job_id).waiting
    assert [one.is_file for one in waiting] == [False, False]


def test_ingest_that_waits_for_its_turn_gives_its_slot_back(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, gives_way: None
) -> None:
    """Nothing of it is done, and nothing is lost."""
    job_id = ingesting(sessions, caller, filed(b"<p>one", "html"))
    worker = one_slot(make_worker(catalog.CONTROL))
    with all_taken(worker):
        run.run(worker, job_id)
    assert tables.column(sessions, job_id, "stage") == stages.EXTRACT
    assert look(sessions, caller, job_id).status == "queued"


def test_short_text_waits_for_no_other_file(sessions: Sessions, caller: Caller, make_worker: MakeWorker) -> None:
    job_id = ingesting(sessions, caller, filed(b"thirteen bytes"), filed("Käse und Äpfel".encode("cp1252")))
    worker = make_worker(catalog.CONTROL)
    with all_taken(worker):
        run.run(worker, job_id)
    assert tables.column(sessions, job_id, "stage") == stages.EMBED_DOCUMENTS


def test_files_beyond_the_seconds_of_their_job_fail_alone(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What needs no computing is read all the same."""
    monkeypatch.setattr(extract, "JOB_S", 1e-6)
    monkeypatch.setattr(extract, "FILE_S", 0.0)
    new = [filed(b"<p>one", "html"), filed(b"<p>two", "html"), filed(b"three")]
    job_id = ingesting(sessions, caller, *new)
    run.run(make_worker(catalog.CONTROL), job_id)
    tables.dispatch(sessions, job_id)
    run.run(make_worker("embedder"), job_id)
    record = look(sessions, caller, job_id)
    assert record.result is not None
    one, two, three = record.result["documents"]
    assert [one["status"], two["status"], three["status"]] == ["ready", "failed", "ready"]
    assert "reading the files of its job took more than" in two["error"]["message"]
    assert two["error"]["code"] == "reading_took_too_long"


def one_slot(worker: Worker) -> Worker:
    worker.slots = 1
    return worker


@contextmanager
def all_taken(worker: Worker) -> Iterator[None]:
    """Other tenants' files have every place there is for those that aren't plain text."""
    with ExitStack() as stack:
        for number in range(PARTS_AT_ONCE):
            stack.enter_context(worker.turns.taken(uuid.UUID(int=number), uuid.UUID(int=number), lambda: None))
        yield


class Counting(Cutter):
    """Counts the texts that it cuts."""

    cuts = 0

    def cut(self, *args: Any) -> list[Piece]:
        self.cuts += 1
        return super().cut(*args)


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
