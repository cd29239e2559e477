"""A collection's model changed by a job, on real PostgreSQL and Redis with echo engines that give different vectors."""

import threading
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import text

from db import session as db_session
from db.documents import collections, index, reembedding
from db.scope import scope
from db.session import Sessions
from tasks import errors, kinds
from tasks.documents import ingest, library, ranking, tending
from tasks.documents import reembedding as tasks_reembedding
from tasks.jobs import endings, jobs, stages
from tasks.jobs.requests import Submission
from tasks.keys import Caller
from tasks.kinds.reembed import Reembedding
from tasks.models import catalog
from tasks.models.engine import Embedder
from tests import tables
from tests.support.catalogs import without_embedding_model
from tests.support.platform import ROOT
from tests.support.waiting import until
from tests.workers.conftest import MakeWorker
from tests.workers.staged import FACTS, asking, ingesting, look, written
from workers import run
from workers.engines import loading
from workers.engines.echo import Echo
from workers.stages import reembed

WIDTH = 24


@dataclass(slots=True)
class Other(Echo):
    """Counts words in more places than echo does. `before` is called before each batch."""

    before: Callable[[], None] = lambda: None
    embedded: list[int] = field(default_factory=list)

    def embed(self, inputs: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        self.before()
        self.embedded.append(len(inputs))
        vectors = np.zeros((len(inputs), WIDTH), np.float32)
        for vector, ids in zip(vectors, inputs, strict=True):
            for number in ids:
                vector[number % WIDTH] += 1
            vector /= max(float(np.linalg.norm(vector)), 1.0)
        return vectors


@dataclass(slots=True)
class Dying(Other):
    """Takes the worker's thread with it, as the end of the process does, when `before` raises."""

    def tokenize(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        if texts != [""]:
            self.before()
        return Other.tokenize(self, texts)

    def embed(self, inputs: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        return Other("other", 2, 128).embed(inputs)


def other(before: Callable[[], None] = lambda: None) -> Other:
    return Other("other", 2, 128, before=before)


def ask(sessions: Sessions, caller: Caller, model: str | None = "other", name: str = "facts") -> uuid.UUID:
    """The job that changes the collection's model, as the desk would accept it, dispatched."""
    with sessions.begin() as session:
        plan = kinds.plan(session, tables.MODELS, caller, Submission("reembed", model, Reembedding(name)))
        job_id = jobs.insert(session, caller, plan)[0].id
    tables.dispatch(sessions, job_id)
    return job_id


def found(sessions: Sessions, caller: Caller, query: str, engine: Echo, model: str) -> list[str]:
    with sessions.begin() as session:
        vector = engine.embed(engine.tokenize([query]))[0]
        passages = ranking.search(session, caller.tenant_id, "facts", query, vector, model=model, top_k=3)
    return [passage.text for passage in passages]


def by_old(sessions: Sessions, caller: Caller, query: str = "lamp kitchen.") -> list[str]:
    return found(sessions, caller, query, Echo("embedder", 1, 64), "embedder")


def by_new(sessions: Sessions, caller: Caller, query: str = "lamp kitchen.") -> list[str]:
    return found(sessions, caller, query, other(), "other")


def columns(sessions: Sessions) -> set[tuple[int | None, int | None]]:
    """Of how many dimensions the vectors of all chunks are, in each of their two places."""
    with sessions() as session:
        rows = session.execute(text("SELECT vector_dims(embedding), vector_dims(second_embedding) FROM chunks"))
        return {(row[0], row[1]) for row in rows}


def left(sessions: Sessions) -> list[int]:
    """How many rows are left of what jobs have under way."""
    with sessions() as session:
        tables_ = ("reembeddings", "reembedded")
        return [session.scalars(text(f"SELECT count(*) FROM {table}")).one() for table in tables_]


@pytest.fixture
def facts(sessions: Sessions, caller: Caller, make_worker: MakeWorker) -> None:
    """Two documents in a collection."""
    new = (written(FACTS), written("Anna is a nurse.", title="People"))
    run.run(make_worker("embedder"), ingesting(sessions, caller, *new))


def test_collection_is_searched_by_the_new_model_once_all_is_embedded(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, facts: None
) -> None:
    """By vectors of the very texts that were embedded before, headings, titles and all; the old ones are gone."""
    before = by_old(sessions, caller)
    with sessions() as session:
        digests = session.execute(text("SELECT digest, context, text FROM chunks ORDER BY document_id, number")).all()
    engine = other()
    job_id = ask(sessions, caller)
    run.run(make_worker("other", engine), job_id)
    record = look(sessions, caller, job_id)
    count = len(digests)
    assert record.result == {"collection": "facts", "model": "other", "dimensions": WIDTH, "chunks": count}
    assert record.progress == {"done": count, "total": count}
    assert columns(sessions) == {(None, WIDTH)}
    assert left(sessions) == [0, 0]
    assert by_new(sessions, caller)[0] == before[0]
    with pytest.raises(errors.CollectionSwitched):
        by_old(sessions, caller)
    with sessions.begin() as session, scope(session, caller.tenant_id):
        home = collections.find(session, caller.tenant_id, "facts")
        assert home is not None
        assert (home.model, home.dimensions) == ("other", WIDTH)
    with sessions() as session:
        rows = session.execute(text("SELECT context, text, second_embedding FROM chunks")).all()
    for context, words, vector in rows:
        embedded = f"{context}\n{words}" if context else words
        [expected] = other().embed(other().tokenize([embedded]))
        assert np.allclose(np.array(vector.strip("[]").split(","), np.float32), expected, atol=1e-6)
    assert any(context == "People" or "People" in (context or "") for context, _, _ in rows)
    assert record.spent.prompt == sum(len(other().tokenize([f"{c}\n{t}" if c else t])[0]) for c, t, _ in rows)


def test_model_can_be_changed_again(sessions: Sessions, caller: Caller, make_worker: MakeWorker, facts: None) -> None:
    """Into the place where the first one's vectors were; documents that came between are there too."""
    run.run(make_worker("other", other()), ask(sessions, caller))
    run.run(make_worker("other", other()), ingesting(sessions, caller, written("The bridge is closed.")))
    assert columns(sessions) == {(None, WIDTH)}
    third = Echo("third", 2, 128)
    run.run(make_worker("third", third), ask(sessions, caller, "third"))
    assert columns(sessions) == {(16, None)}
    assert found(sessions, caller, "bridge closed.", third, "third")[0] == "The bridge is closed."


def test_documents_that_come_meanwhile_are_embedded_by_both_before_the_switch(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, facts: None
) -> None:
    """Until then searches go on by the old model, and find them."""
    came: list[list[str]] = []

    def bring() -> None:
        if not came:
            run.run(make_worker("embedder"), ingesting(sessions, caller, written("The bridge is closed.")))
            came.append(by_old(sessions, caller, "bridge closed."))

    run.run(make_worker("other", other(bring)), ask(sessions, caller))
    assert came[0][0] == "The bridge is closed."
    assert columns(sessions) == {(None, WIDTH)}
    assert by_new(sessions, caller, "bridge closed.")[0] == "The bridge is closed."


def test_ingest_that_waited_for_the_old_model_goes_on_by_the_new_one(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, facts: None
) -> None:
    waiting = ingesting(sessions, caller, written("The bridge is closed."))
    run.run(make_worker("other", other()), ask(sessions, caller))
    run.run(make_worker("embedder"), waiting)
    assert tables.column(sessions, waiting, "queue") == "other"
    tables.dispatch(sessions, waiting)
    run.run(make_worker("other", other()), waiting)
    assert look(sessions, caller, waiting).status == "succeeded"
    assert columns(sessions) == {(None, WIDTH)}
    assert by_new(sessions, caller, "bridge closed.")[0] == "The bridge is closed."


def test_question_that_waited_for_the_old_model_is_asked_by_the_new_one(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, facts: None
) -> None:
    question = asking(sessions, caller, "Where is the lamp?", max_tokens=3)
    run.run(make_worker("other", other()), ask(sessions, caller))
    run.run(make_worker("embedder"), question)
    assert tables.column(sessions, question, "queue") == "other"
    tables.dispatch(sessions, question)
    run.run(make_worker("other", other()), question)
    assert tables.column(sessions, question, "stage") == stages.GENERATE


def dying_at(call: int) -> Callable[[], None]:
    """Has the worker's process end at the beginning of this batch."""
    calls = iter(range(1, 100))

    def before() -> None:
        if next(calls) == call:
            raise SystemExit

    return before


def test_attempt_goes_on_with_the_lots_that_are_missing(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, facts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each chunk is embedded and paid for once, whatever dies."""
    monkeypatch.setattr(reembed, "CHUNKS_OF_A_LOT", 1)
    job_id = ask(sessions, caller)
    with pytest.raises(SystemExit):
        run.run(make_worker("other", Dying("other", 2, 128, before=dying_at(2))), job_id)
    assert columns(sessions) == {(16, None), (16, WIDTH)}
    tables.dispatch(sessions, job_id)
    second = other()
    run.run(make_worker("other", second), job_id)
    record = look(sessions, caller, job_id)
    assert record.result is not None
    assert sum(second.embedded) == record.result["chunks"] - 1
    with sessions() as session:
        rows = session.execute(text("SELECT context, text FROM chunks")).all()
    assert record.spent.prompt == sum(len(other().tokenize([f"{c}\n{t}" if c else t])[0]) for c, t in rows)
    assert columns(sessions) == {(None, WIDTH)}


def test_job_that_is_cancelled_leaves_the_collection_as_it_was(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, facts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it made already is used by a later one for the same model, and for no other."""
    monkeypatch.setattr(reembed, "CHUNKS_OF_A_LOT", 1)
    before, job_id = by_old(sessions, caller), ask(sessions, caller)
    with pytest.raises(SystemExit):
        run.run(make_worker("other", Dying("other", 2, 128, before=dying_at(2))), job_id)
    endings.cancel(sessions, make_worker().client, caller, job_id, 60)
    assert by_old(sessions, caller) == before
    with pytest.raises(errors.CollectionSwitched):
        by_new(sessions, caller)
    again, count = other(), 0
    with sessions() as session:
        count = session.scalars(text("SELECT count(*) FROM chunks")).one()
    run.run(make_worker("other", again), ask(sessions, caller))
    assert sum(again.embedded) == count - 1
    assert columns(sessions) == {(None, WIDTH)}


def test_job_for_another_model_begins_anew(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, facts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reembed, "CHUNKS_OF_A_LOT", 1)
    job_id = ask(sessions, caller)
    with pytest.raises(SystemExit):
        run.run(make_worker("other", Dying("other", 2, 128, before=dying_at(2))), job_id)
    endings.cancel(sessions, make_worker().client, caller, job_id, 60)
    run.run(make_worker("third", Echo("third", 2, 128)), ask(sessions, caller, "third"))
    assert columns(sessions) == {(None, 16)}


def test_second_job_at_once_is_a_conflict(sessions: Sessions, caller: Caller, facts: None) -> None:
    job_id = ask(sessions, caller)
    for model in ("other", "third"):
        with pytest.raises(errors.Conflict, match="already"):
            ask(sessions, caller, model)
    assert look(sessions, caller, job_id).status == "queued"


@pytest.mark.parametrize(
    ("model", "name", "error", "told"),
    [
        ("embedder", "facts", errors.InvalidField, "already"),
        ("short", "facts", errors.InvalidField, "reads 32 tokens, and the collection's chunks have up to 64"),
        ("alpha", "facts", errors.ModelUnknown, "doesn't serve"),
        ("nobody", "facts", errors.ModelUnknown, "no model"),
        ("other", "nowhere", errors.NotFound, "nowhere"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_queued(
    sessions: Sessions, caller: Caller, facts: None, model: str, name: str, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        ask(sessions, caller, model, name)
    assert left(sessions) == [0, 0]


def test_chunk_that_the_model_cannot_read_whole_fails_the_job_and_nothing_else(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, facts: None
) -> None:
    """Its tokens may be more than the old model's were. Nothing is cut."""
    before = by_old(sessions, caller)
    job_id = ask(sessions, caller)
    run.run(make_worker("other", Other("other", 2, 5)), job_id)
    record = look(sessions, caller, job_id)
    assert record.error is not None
    assert record.error["code"] == "context_length_exceeded"
    assert record.error["message"].startswith("chunk 0 of doc_")
    assert by_old(sessions, caller) == before


@pytest.mark.parametrize("what", ["document", "collection"])
def test_job_goes_on_without_what_is_deleted_meanwhile(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, facts: None, what: str
) -> None:
    """The collection itself is what it can't do without."""
    with sessions.begin() as session:
        documents, _ = library.page(session, caller, limit=10)

    def delete() -> None:
        with sessions.begin() as session:
            if what == "document":
                with suppress(errors.NotFound):
                    library.delete(session, caller, documents[0].id)
            else:
                with suppress(errors.NotFound):
                    library.delete_collection(session, caller, "facts")

    job_id = ask(sessions, caller)
    run.run(make_worker("other", other(delete)), job_id)
    record = look(sessions, caller, job_id)
    if what == "collection":
        assert record.error is not None
        assert record.error["code"] == "collection_not_found"
        assert columns(sessions) == set()
    else:
        assert record.status == "succeeded"
        assert columns(sessions) == {(None, WIDTH)}
        assert by_new(sessions, caller)
    assert left(sessions) == [0, 0]


def test_empty_collection_changes_its_model_at_once(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, facts: None
) -> None:
    """And the first vectors decide its dimensions."""
    with sessions.begin() as session:
        documents, _ = library.page(session, caller, limit=10)
        for document in documents:
            library.delete(session, caller, document.id)
    run.run(make_worker("other", other()), ask(sessions, caller))
    run.run(make_worker("other", other()), ingesting(sessions, caller, written("The bridge is closed.")))
    assert columns(sessions) == {(None, WIDTH)}


def test_chunks_that_are_cut_anew_meanwhile_are_embedded_anew(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, facts: None
) -> None:
    """A document that was stored in part, by an attempt that cut it otherwise: what was counted of it is forgotten."""
    with sessions.begin() as session:
        documents, _ = library.page(session, caller, limit=10)
        with scope(session, caller.tenant_id):
            home = collections.find(session, caller.tenant_id, "facts")
            assert home is not None
            reembedding.begin(session, caller.tenant_id, home.id, uuid.uuid4(), "other")
            lot = reembedding.lot(session, caller.tenant_id, home.id, after=None, most=100)
            assert reembedding.keep(session, caller.tenant_id, home, lot, list(np.eye(len(lot), dtype=np.float32)))
            assert not reembedding.lacking(session, caller.tenant_id, home.id)
            reembedding.forget(session, caller.tenant_id, documents[0].id)
            assert reembedding.lacking(session, caller.tenant_id, home.id)
            again = reembedding.lot(session, caller.tenant_id, home.id, after=None, most=100)
            assert {one.document_id for one in again} == {documents[0].id}
            stale = [replace(one, digest=b"another") for one in again]
            assert not reembedding.keep(session, caller.tenant_id, home, stale, list(np.eye(len(again))))


@without_embedding_model
def test_collection_is_searched_by_meaning_once_a_real_model_has_read_it(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, facts: None
) -> None:
    """Its first model only counted words; what was ingested by that is found by what it means now."""
    entry = replace(catalog.load(ROOT / "models" / "catalog.toml")["demo-embed"], name="other")
    engine = loading.load(entry, slots=2, threads=1)
    assert isinstance(engine, Embedder)
    worker = make_worker("other", engine)
    job_id = ask(sessions, caller)
    run.run(worker, job_id)
    record = look(sessions, caller, job_id)
    assert record.result is not None
    assert record.result["dimensions"] == 384
    assert columns(sessions) == {(None, 384)}
    for query, told in (("Who works in a hospital?", "Anna is a nurse."), ("bees and sweet food", FACTS)):
        vector = engine.embed(engine.tokenize([query]))[0]
        with sessions.begin() as session:
            [best] = ranking.search(session, caller.tenant_id, "facts", query, vector, model="other", top_k=1)
        assert best.text == told


def test_large_collection_switches_when_its_new_vectors_have_their_index(
    sessions: Sessions,
    caller: Caller,
    make_worker: MakeWorker,
    facts: None,
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which is made while the old one is still used; the old one goes afterwards."""
    engine = db_session.open_engine(postgres_url, pool_size=4)
    with sessions() as session:
        count = session.scalars(text("SELECT count(*) FROM chunks")).one()

    def indexes() -> set[str]:
        with index.alone(engine) as connection:
            assert connection is not None
            return {name.rpartition("_")[2] for name in index.left_over(connection, ())}

    def is_filled() -> bool:
        with sessions() as session:
            return bool(session.scalar(text("SELECT filled FROM reembeddings")))

    monkeypatch.setattr(index, "LARGE", count)
    monkeypatch.setattr(reembed, "LOOK_S", 0.01)
    tending.tend(engine, sessions, least=count)
    assert indexes() == {"first"}
    thread = threading.Thread(target=run.run, args=(make_worker("other", other()), ask(sessions, caller)))
    thread.start()
    until(is_filled)
    assert by_old(sessions, caller)
    assert indexes() == {"first"}
    tending.tend(engine, sessions, least=count)
    thread.join()
    assert columns(sessions) == {(None, WIDTH)}
    tending.tend(engine, sessions, least=count)
    assert indexes() == {"second"}
    monkeypatch.undo()
    with index.alone(engine) as connection:
        assert connection is not None
        for name in index.left_over(connection, ()):
            index.drop(connection, name)
    engine.dispose()


def cleared(sessions: Sessions, caller: Caller, *, most: int) -> list[set[tuple[int | None, int | None]]]:
    """What vectors there are after each step of clearing, in a collection that has switched."""
    steps = []
    with sessions.begin() as session, scope(session, caller.tenant_id):
        home = collections.find(session, caller.tenant_id, "facts")
        assert home is not None
    for _ in range(100):
        with sessions.begin() as session:
            goes_on = tasks_reembedding.clear(session, caller.tenant_id, home.id, most=most)
        steps.append(columns(sessions))
        if not goes_on:
            return steps
    raise AssertionError("it never ends")


def switched(sessions: Sessions, caller: Caller, make_worker: MakeWorker) -> uuid.UUID:
    """A job that was cancelled when the collection had switched, and nothing was cleared yet."""
    job_id = ask(sessions, caller)

    def stop(*args: Any, **options: Any) -> bool:
        raise SystemExit

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(reembed._Work, "clear", stop)
        with pytest.raises(SystemExit):
            run.run(make_worker("other", other()), job_id)
    endings.cancel(sessions, make_worker().client, caller, job_id, 60)
    assert columns(sessions) == {(16, WIDTH)}
    return job_id


@pytest.mark.parametrize("most", [1, 2, 3, 100])
def test_long_documents_are_cleared_like_short_ones(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, most: int
) -> None:
    """However many chunks a step may have: of the first and the last document no old vector is left."""
    long = [written("\n\n".join(f"# Part {number}\n\nIt is about {number}." for number in range(5))) for _ in range(2)]
    run.run(make_worker("embedder"), ingesting(sessions, caller, *long))
    switched(sessions, caller, make_worker)
    steps = cleared(sessions, caller, most=most)
    assert steps[-1] == {(None, WIDTH)}
    assert left(sessions) == [0, 0]


def test_what_a_cancelled_job_left_is_cleared_by_its_retry(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, facts: None
) -> None:
    """The collection has its new model, and another job for that one drops what is left of the old one."""
    switched(sessions, caller, make_worker)
    again = ask(sessions, caller)
    run.run(make_worker("other", other()), again)
    assert look(sessions, caller, again).status == "succeeded"
    assert columns(sessions) == {(None, WIDTH)}
    assert left(sessions) == [0, 0]
    with pytest.raises(errors.InvalidField, match="already"):
        ask(sessions, caller)


def test_document_that_fails_counts_no_more(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, facts: None
) -> None:
    """Neither its chunks nor what was made for them anew."""
    with sessions.begin() as session, scope(session, caller.tenant_id):
        home = collections.find(session, caller.tenant_id, "facts")
        assert home is not None
        reembedding.begin(session, caller.tenant_id, home.id, uuid.uuid4(), "other")
        lot = reembedding.lot(session, caller.tenant_id, home.id, after=None, most=100)
        assert reembedding.keep(session, caller.tenant_id, home, lot, list(np.eye(len(lot), dtype=np.float32)))
        session.execute(text("UPDATE documents SET status = 'pending'"))
    with sessions.begin() as session:
        for document_id in {one.document_id for one in lot}:
            ingest.failed(session, caller.tenant_id, document_id, "unreadable_document", "no")
    with sessions.begin() as session, scope(session, caller.tenant_id):
        assert reembedding.done(session, caller.tenant_id, home.id) == (0, 0)
