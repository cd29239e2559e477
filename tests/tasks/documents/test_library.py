"""Looking at documents and collections, listing them, deleting them."""

import hashlib
import uuid

import pytest
from sqlalchemy import text

from db.session import Sessions
from tasks import errors
from tasks.documents import ingest, library
from tasks.documents.ingest import NewDocument
from tasks.documents.library import Document
from tasks.jobs.lifecycle import Status
from tasks.keys import Caller
from tests import shelves, tables


def ingested(sessions: Sessions, caller: Caller, *titles: str, name: str = "books") -> list[uuid.UUID]:
    """Documents that wait, of one job."""
    new = [NewDocument("one", None, "text", title, None, {}) for title in titles]
    with sessions.begin() as session:
        job = shelves.bring(session, caller, name, new)
        return [one.id for one in ingest.work(session, caller.tenant_id, job.id).waiting]


def test_document_is_shown_whole(sessions: Sessions, caller: Caller) -> None:
    """With its collection, its job and what is known of it so far."""
    [document_id] = ingested(sessions, caller, "One")
    with sessions.begin() as session:
        shown = library.get(session, caller, document_id)
    assert shown == Document(
        id=document_id, collection="books", job_id=shown.job_id, title="One", filename=None, external_id=None,
        kind="text", charset=None, metadata={}, bytes=3, digest=hashlib.sha256(b"one").hexdigest(),
        archive=None, archive_digest=None, duplicate_of=None, status="pending", chunks=None, tokens=None, warnings=[],
        error=None, created_at=shown.created_at,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "error", "shown"),
    [
        (Status.CANCELLED, {}, {"code": "cancelled", "message": "its job has ended: cancelled"}),
        (Status.FAILED, {"error_code": "poison", "error_message": "x"}, {"code": "poison", "message": "x"}),
    ],
)
def test_waiting_document_of_an_ended_job_has_failed(
    sessions: Sessions, caller: Caller, status: Status, error: dict[str, str], shown: dict[str, str]
) -> None:
    """Nobody comes back to it, and nothing needs to be written for that to be seen."""
    first, second = ingested(sessions, caller, "One", "Two")
    with sessions.begin() as session:
        ingest.failed(session, caller.tenant_id, second, "unreadable_document", "no text")
        tables.put(session, library.get(session, caller, first).job_id, status, **error)
        waited, other = library.get(session, caller, first), library.get(session, caller, second)
    assert (waited.status, waited.error) == ("failed", shown)
    assert other.error == {"code": "unreadable_document", "message": "no text"}


def test_pages_give_every_document_once_newest_first(sessions: Sessions, caller: Caller) -> None:
    """Of all collections, or of one; another tenant's never."""
    books, maps = ingested(sessions, caller, "a", "b"), ingested(sessions, caller, "c", name="maps")
    ingested(sessions, tables.tenant(sessions, "theirs"), "d", "e")
    with sessions.begin() as session:
        found, more = library.page(session, caller, limit=2)
        assert ([one.id for one in found], more) == ([*maps, books[1]], True)
        found, more = library.page(session, caller, limit=2, before=found[-1].id)
        assert ([one.id for one in found], more) == ([books[0]], False)
        assert [one.id for one in library.page(session, caller, limit=9, collection="books")[0]] == books[::-1]
        with pytest.raises(errors.NotFound):
            library.page(session, caller, limit=9, collection="nothing")


def test_collections_are_listed_by_name_with_their_counts(sessions: Sessions, caller: Caller) -> None:
    """A page holds at most what was asked for and says whether there is more."""
    for name in ("maps", "books"):
        ingested(sessions, caller, "a", "b", name=name)
    ingested(sessions, tables.tenant(sessions, "theirs"), "d", name="plans")
    with sessions.begin() as session:
        [first], more = library.collections(session, caller, limit=1)
        assert (first.name, first.model, first.documents, first.chunks, more) == ("books", "embedder", 2, 0, True)
        [second], more = library.collections(session, caller, limit=1, after="books")
        assert (second.name, more) == ("maps", False)


def test_deleting_leaves_nothing_behind(sessions: Sessions, caller: Caller) -> None:
    """A document goes with its text and chunks, a collection with its documents."""
    first, second = ingested(sessions, caller, "a", "b")
    with sessions.begin() as session:
        home = session.scalars(text("SELECT id FROM collections")).one()
        for document_id in (first, second):
            shelves.fill(session, caller.tenant_id, home, document_id, ["x"], shelves.units(1))

        def rows() -> list[int]:
            names = ("collections", "documents", "document_texts", "chunks")
            return [session.scalar(text(f"SELECT count(*) FROM {name}")) or 0 for name in names]

        assert rows() == [1, 2, 2, 2]
        library.delete(session, caller, first)
        assert rows() == [1, 1, 1, 1]
        library.delete_collection(session, caller, "books")
        assert rows() == [0, 0, 0, 0]
        with pytest.raises(errors.NotFound):
            library.delete(session, caller, first)
        with pytest.raises(errors.NotFound):
            library.delete_collection(session, caller, "books")
