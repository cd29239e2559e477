"""A collection's model changed by a job, on real PostgreSQL and Redis with echo engines that give different vectors."""

import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import text

from db.documents import collections, reembedding
from db.scope import scope
from db.session import Sessions
from tasks import errors
from tasks.documents import library, ranking
from tasks.jobs import endings, stages
from tasks.keys import Caller
from tasks.models import catalog
from tasks.models.engine import Embedder
from tests import tables
from tests.support.catalogs import without_embedding_model
from tests.support.platform import ROOT
from tests.workers.conftest import MakeWorker
from tests.workers.reembedded import WIDTH, Dying, Other, ask, by_new, by_old, columns, found, left, other
from tests.workers.staged import FACTS, asking, ingesting, look, written
from workers import run
from workers.engines import loading
from workers.engines.echo import Echo
from workers.stages import reembed


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
