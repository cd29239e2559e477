"""Documents from their arrival to being found, and who may see them."""

import uuid
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.session import Sessions
from tasks import errors, ids
from tasks.documents import ends, filters, ingest, library, ranking
from tasks.documents.chunking import Piece
from tasks.documents.ingest import NewDocument
from tasks.documents.marks import Extracted
from tasks.documents.ranking import Passage
from tasks.jobs.view import JobView
from tasks.keys import Caller
from tasks.models.catalog import Catalog, Model
from tests import shelves, tables

MODELS: Catalog = {
    "alpha": Model("alpha", "echo", context=64, slots=2, types=("generate",)),
    "embedder": Model("embedder", "echo", context=64, slots=2, types=("embed",)),
    "other": Model("other", "echo", context=64, slots=2, types=("embed",)),
}
D = 4


def new(text: str | None = "one", raw: bytes | None = None, **changes: Any) -> NewDocument:
    whole = {"kind": "text", "title": None, "filename": None, "metadata": {}}
    return NewDocument(text=text, raw=raw, **(whole | changes))


def ingested(
    sessions: Sessions, caller: Caller, *given: NewDocument, name: str = "books", model: str | None = None
) -> JobView:
    with sessions.begin() as session:
        return shelves.bring(session, caller, name, given or [new()], model=model, models=MODELS)


def shelve(sessions: Sessions, caller: Caller, *texts: str, vectors: Any = None, **changes: Any) -> uuid.UUID:
    """A document that is ready, with these chunks."""
    job = ingested(sessions, caller, new(**changes))
    directions = np.eye(D, dtype=np.float32)[: len(texts)] if vectors is None else np.array(vectors, np.float32)
    with sessions.begin() as session:
        [waiting] = ingest.work(session, caller.tenant_id, job.id).waiting
        shelves.store(session, caller.tenant_id, waiting.id, [Piece(text, 3) for text in texts], directions)
    return waiting.id


def search(
    sessions: Sessions, caller: Caller, query: str = "", vector: Any = (1, 0, 0, 0), **options: Any
) -> list[Passage]:
    asked = np.array(vector, dtype=np.float32)
    with sessions.begin() as session:
        return ranking.search(
            session, caller.tenant_id, "books", query, asked, **({"top_k": 10, "model": "embedder"} | options)
        )


def test_texts_go_straight_to_the_embedding_model(sessions: Sessions, caller: Caller) -> None:
    """The collection is made on first use, with the catalogue's model for embeddings."""
    job = ingested(sessions, caller, new("one"), new("two words"))
    assert (job.type, job.model, job.queue) == ("ingest", "embedder", "embedder")
    assert tables.column(sessions, job.id, "stage") == "embed_documents"
    with sessions.begin() as session:
        waiting = ingest.work(session, caller.tenant_id, job.id).waiting
        assert [(one.kind, one.bytes) for one in waiting] == [("text", 3), ("text", 9)]
        assert [ingest.text(session, caller.tenant_id, one.id) for one in waiting] == ["one", "two words"]
        assert [ingest.raw(session, caller.tenant_id, one.id) for one in waiting] == [None, None]
        made = library.collection(session, caller, "books")
    assert (made.model, made.dimensions, made.documents, made.chunks) == ("embedder", None, 2, 0)


def test_files_go_to_the_control_worker_first(sessions: Sessions, caller: Caller) -> None:
    """One file among texts is enough; what was found in it replaces it."""
    job = ingested(sessions, caller, new("one"), new(None, b"%PDF", kind="pdf", filename="a.pdf"))
    assert (job.model, job.queue) == ("embedder", "control")
    assert tables.column(sessions, job.id, "stage") == "extract"
    with sessions.begin() as session:
        _, file = ingest.work(session, caller.tenant_id, job.id).waiting
        assert ingest.raw(session, caller.tenant_id, file.id) == b"%PDF"
        assert ingest.text(session, caller.tenant_id, file.id) is None
        ingest.extracted(session, caller.tenant_id, file.id, Extracted("found"))
        assert ingest.raw(session, caller.tenant_id, file.id) is None
        assert ingest.text(session, caller.tenant_id, file.id) == "found"


def test_collection_keeps_its_model(sessions: Sessions, caller: Caller) -> None:
    """Vectors of two models can't be compared, so naming another is refused; naming none takes the collection's."""
    ingested(sessions, caller, model="other")
    assert ingested(sessions, caller).model == "other"
    with pytest.raises(errors.InvalidField, match="other") as caught:
        ingested(sessions, caller, model="embedder")
    assert caught.value.field == "model"


@pytest.mark.parametrize(("model", "field"), [("alpha", "model"), ("nobody", "model")])
def test_model_that_cannot_embed_is_refused(sessions: Sessions, caller: Caller, model: str, field: str) -> None:
    """Nothing is made for it."""
    with pytest.raises(errors.ModelUnknown) as caught:
        ingested(sessions, caller, model=model)
    assert caught.value.field == field
    with pytest.raises(errors.NotFound), sessions.begin() as session:
        ranking.collection_of(session, caller, "books")


def test_document_is_found_and_counted_once_its_last_lot_is_stored(sessions: Sessions, caller: Caller) -> None:
    """Until then nothing of it can be seen; the first vectors fix the collection's dimensions."""
    shelve(sessions, caller, "a")
    job = ingested(sessions, caller)

    def store(text: str, first: int, *, last: bool) -> bool:
        vector = np.eye(D, dtype=np.float32)[:1]
        with sessions.begin() as session:
            return ingest.store(
                session,
                caller.tenant_id,
                waiting.id,
                [Piece(text, 3)],
                vector,
                model="embedder",
                first=first,
                last=last,
            )

    def seen() -> tuple[list[str], int, int | None]:
        with sessions.begin() as session:
            home = library.collection(session, caller, "books")
            shown = library.get(session, caller, waiting.id)
        assert (home.dimensions, home.documents) == (D, 2)
        return sorted(passage.text for passage in search(sessions, caller, "b")), home.chunks, shown.chunks

    with sessions.begin() as session:
        [waiting] = ingest.work(session, caller.tenant_id, job.id).waiting
    assert store("b", 0, last=False)
    assert seen() == (["a"], 1, None)
    assert store("c", 1, last=True)
    assert seen() == (["a", "b", "c"], 3, 2)
    assert not store("d", 2, last=True)


@pytest.mark.parametrize(("cut", "left"), [(["a", "b", "c"], 2), (["a", "x", "c"], 0), (["a", "b"], 0), (["a"], 0)])
def test_lots_of_an_earlier_attempt_are_kept_if_they_were_cut_the_same(
    sessions: Sessions, caller: Caller, cut: list[str], left: int
) -> None:
    """Else the document begins anew."""
    job = ingested(sessions, caller)
    with sessions.begin() as session:
        [waiting] = ingest.work(session, caller.tenant_id, job.id).waiting
        whose = (session, caller.tenant_id, waiting.id)
        assert ingest.resume(*whose, [Piece("a", 1)]) == 0
        ingest.store(
            *whose, [Piece("a", 1), Piece("b", 1)], np.eye(D, dtype=np.float32)[:2], model="embedder", last=False
        )
        assert ingest.resume(*whose, [Piece(text, 1) for text in cut]) == left
        assert (session.scalar(text("SELECT count(*) FROM chunks")), counted(session)) == (left, left or None)


def test_failed_document_leaves_no_chunks(sessions: Sessions, caller: Caller) -> None:
    """What was stored of it by then goes with it."""
    job = ingested(sessions, caller)
    with sessions.begin() as session:
        [waiting] = ingest.work(session, caller.tenant_id, job.id).waiting
        ingest.store(
            session,
            caller.tenant_id,
            waiting.id,
            [Piece("a", 1)],
            np.eye(D, dtype=np.float32)[:1],
            model="embedder",
            last=False,
        )
        ingest.failed(session, caller.tenant_id, waiting.id, "x", "y")
        assert (session.scalar(text("SELECT count(*) FROM chunks")), counted(session)) == (0, None)


def counted(session: Session) -> int | None:
    """The chunks that the one document's row tells of."""
    return session.scalar(text("SELECT chunks FROM documents"))


def test_vector_of_a_model_that_the_collection_has_no_longer_is_refused(sessions: Sessions, caller: Caller) -> None:
    """A collection made anew under its name: a vector of the right dimension says nothing there."""
    shelve(sessions, caller, "a")
    with pytest.raises(errors.CollectionGone, match="has its vectors from embedder now"):
        search(sessions, caller, model="other")


def test_vectors_of_another_dimension_are_refused(sessions: Sessions, caller: Caller) -> None:
    """A model that was exchanged under its name fails the job, not the collection."""
    shelve(sessions, caller, "a")
    with pytest.raises(errors.DimensionsDiffer, match="of 5 dimensions, the collection books has 4"):
        shelve(sessions, caller, "b", vectors=np.eye(5)[:1])
    with pytest.raises(errors.DimensionsDiffer):
        search(sessions, caller, vector=np.eye(5)[0])


def test_deleted_document_is_not_brought_back(sessions: Sessions, caller: Caller) -> None:
    """Its job goes on with the others."""
    job = ingested(sessions, caller, new("one"), new("two"))
    with sessions.begin() as session:
        gone, left = ingest.work(session, caller.tenant_id, job.id).waiting
        library.delete(session, caller, gone.id)
        shelves.store(session, caller.tenant_id, gone.id, [Piece("one", 1)], np.eye(D, dtype=np.float32)[:1])
        ingest.extracted(session, caller.tenant_id, gone.id, Extracted("one"))
        ingest.failed(session, caller.tenant_id, gone.id, "x", "y")
        assert [one.id for one in ingest.work(session, caller.tenant_id, job.id).waiting] == [left.id]
    assert search(sessions, caller) == []


def test_outcome_tells_of_every_document(sessions: Sessions, caller: Caller) -> None:
    """Ready ones with their chunks, failed ones with the reason; a ready one doesn't fail any more."""
    job = ingested(sessions, caller, new("one", title="One"), new(None, b"x", kind="pdf", filename="b.pdf"))
    with sessions.begin() as session:
        ready, failed = ingest.work(session, caller.tenant_id, job.id).waiting
        shelves.store(session, caller.tenant_id, ready.id, [Piece("one", 2)], np.eye(D, dtype=np.float32)[:1])
        for document in (ready, failed):
            ingest.failed(session, caller.tenant_id, document.id, "unreadable_document", "no text")
        assert ingest.raw(session, caller.tenant_id, failed.id) is None
        ended = ends.of_job(session, caller.tenant_id, job.id)
    assert (ended.ready, ended.failed) == (1, [("unreadable_document", "no text")])
    first, second = (ids.show(one.id, ids.DOCUMENT) for one in (ready, failed))
    error = {"code": "unreadable_document", "message": "no text"}
    common = {"external_id": None}
    assert ended.result == {
        "collection": "books",
        "documents": [
            {"id": first, "title": "One", "filename": None, "status": "ready", "chunks": 1} | common,
            {"id": second, "title": None, "filename": "b.pdf", "status": "failed", "chunks": None, "error": error}
            | common,
        ],
        "chunks": 1,
    }


def test_search_fuses_meaning_and_words(sessions: Sessions, caller: Caller) -> None:
    """What both rankings have goes first; every passage tells its score, which falls, and what it is made of."""
    document_id = shelve(
        sessions, caller, "A fox.", "The harbour code is 19.", "A harbour.",
        vectors=[[1, 0, 0, 0], [0.8, 0.6, 0, 0], [0, 0, 0, 1]], title="Facts", metadata={"year": 2020},
    )  # fmt: skip
    found = search(sessions, caller, "harbour code")
    assert [(passage.chunk, passage.similarity) for passage in found] == [(1, 0.8), (0, 1.0), (2, 0.0)]
    assert [passage.words > 0 for passage in found] == [True, False, True]
    scores = [passage.score for passage in found]
    assert scores == sorted(scores, reverse=True)
    assert 0 <= scores[-1] < scores[0] <= 1
    shown = found[0].as_json()
    assert shown == {
        "document_id": ids.show(document_id, ids.DOCUMENT), "chunk": 1, "score": scores[0], "similarity": 0.8,
        "words": found[0].words, "text": "The harbour code is 19.", "title": "Facts", "filename": None,
        "external_id": None, "metadata": {"year": 2020}, "path": [], "page": None, "begins": 0, "ends": 0,
    }  # fmt: skip


@pytest.mark.parametrize("query", ["What is QX-7741?", "qx 7741", "7741", "7741/b", "Who may write?"])
def test_codes_are_found_whole_and_in_part(sessions: Sessions, caller: Caller, query: str) -> None:
    """By their words alone, whatever joins these."""
    shelve(sessions, caller, "The part is good.", "QX-7741/B has read/write access.", "What is QY-7742?")
    found = search(sessions, caller, query, (0, 0, 0, 1))
    assert found[0].text == "QX-7741/B has read/write access."


def test_search_is_bounded_by_count_score_and_filter(sessions: Sessions, caller: Caller) -> None:
    """Each narrows on its own."""
    shelve(sessions, caller, "a", "b", vectors=[[1, 0, 0, 0], [0.6, 0.8, 0, 0]], metadata={"kind": "x"})
    shelve(sessions, caller, "c", vectors=[[0.8, 0.6, 0, 0]], metadata={"kind": "y"})

    def found(**options: Any) -> list[str]:
        return [passage.text for passage in search(sessions, caller, **options)]

    assert found() == ["a", "c", "b"]
    assert found(top_k=1) == ["a"]
    assert found(threshold=0.5) == ["a", "c"]
    assert found(filter=filters.parse({"kind": "x"})) == ["a", "b"]
    assert found(filter=filters.parse({"kind": "z"})) == []
    assert found(filter=filters.parse({})) == ["a", "c", "b"]


def test_search_in_a_collection_without_vectors_finds_nothing(sessions: Sessions, caller: Caller) -> None:
    """Documents that wait are no error."""
    ingested(sessions, caller)
    assert search(sessions, caller) == []


def test_search_sees_its_own_collection_only(sessions: Sessions, caller: Caller) -> None:
    """Another tenant's of the same name is another; where the tenant has none, there is none."""
    theirs = tables.tenant(sessions, "theirs")
    shelve(sessions, theirs, "secret")
    with pytest.raises(errors.NotFound, match="no collection books"):
        search(sessions, caller, "secret")
    shelve(sessions, caller, "plain")
    assert [passage.text for passage in search(sessions, caller, "secret")] == ["plain"]


def test_every_use_case_keeps_to_its_tenant(sessions: Sessions, caller: Caller) -> None:
    """Another tenant's ids are as good as none."""
    theirs = tables.tenant(sessions, "theirs")
    job = ingested(sessions, caller)
    with sessions.begin() as session:
        [own] = ingest.work(session, caller.tenant_id, job.id).waiting
        assert ingest.work(session, theirs.tenant_id, job.id).waiting == []
        assert ingest.text(session, theirs.tenant_id, own.id) is None
        ingest.extracted(session, theirs.tenant_id, own.id, Extracted("theirs"))
        ingest.failed(session, theirs.tenant_id, own.id, "x", "y")
        shelves.store(session, theirs.tenant_id, own.id, [Piece("x", 1)], np.eye(D, dtype=np.float32)[:1])
        assert ends.of_job(session, theirs.tenant_id, job.id).result["documents"] == []
        for ask in (library.get, library.delete):
            with pytest.raises(errors.NotFound):
                ask(session, theirs, own.id)
        for named in (ranking.collection_of, library.delete_collection):
            with pytest.raises(errors.NotFound):
                named(session, theirs, "books")
        assert ingest.text(session, caller.tenant_id, own.id) == "one"
