"""Vector stores beside each other: who changes, attaches and deletes at one moment waits, and nobody for the other."""

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from db.session import Sessions
from tasks import errors, kinds
from tasks.documents import ingest
from tasks.documents.attaching import Attached
from tasks.documents.chunking import Piece
from tasks.documents.marks import Extracted
from tasks.files import files, keeping, tidying
from tasks.files.keeping import Room
from tasks.files.stores import Stores
from tasks.jobs import jobs
from tasks.jobs.lifecycle import Status
from tasks.jobs.requests import Submission
from tasks.keys import Caller
from tasks.kinds.ingest import Ingest
from tasks.kinds.rag import Question
from tasks.settings import IN_POSTGRES
from tasks.vectorstores import counting, stores
from tests import tables
from tests.support import waiting


def made(sessions: Sessions, caller: Caller) -> uuid.UUID:
    with sessions.begin() as session:
        return stores.create(session, tables.MODELS, caller, stores.Wish("one"))


def kept(sessions: Sessions, caller: Caller, raw: bytes = b"one two") -> uuid.UUID:
    writing = keeping.kept(Stores(IN_POSTGRES, sessions), caller.tenant_id, [raw], Room("file", len(raw), 10**9))
    with writing as part, sessions.begin() as session:
        return files.add(session, caller, part, files.Wish("one.txt", "assistants")).id


def attach(session: Session, caller: Caller, store_id: uuid.UUID, *file_ids: uuid.UUID) -> uuid.UUID:
    """The job that is to read the files, which nobody runs."""
    wanted = tuple(Attached(file_id) for file_id in file_ids)
    asked = Submission("ingest", None, Ingest(stores.collection_name(store_id), files=wanted))
    stores.require_alive(session, caller, store_id, keep=True)
    return jobs.insert(session, caller, kinds.plan(session, tables.MODELS, caller, asked))[0].id


def attaching(caller: Caller, store_id: uuid.UUID, *file_ids: uuid.UUID) -> Callable[[Session], object]:
    return lambda session: attach(session, caller, store_id, *file_ids)


def deleting(sessions: Sessions, caller: Caller, store_id: uuid.UUID) -> Callable[[Session], object]:
    return lambda _: stores.delete(sessions, caller, store_id)


def expire(sessions: Sessions, store_id: uuid.UUID) -> None:
    with sessions.begin() as session:
        late = "UPDATE vector_stores SET expires_at = now() - interval '1 second' WHERE id = :id"
        session.execute(text(late), {"id": store_id})


def at_once(sessions: Sessions, acts: list[Callable[[Session], object]]) -> list[str]:
    """Runs each in a transaction and a thread of its own, all begun together; what each raised, or nothing."""
    together, told = threading.Barrier(len(acts)), [""] * len(acts)

    def run(place: int) -> None:
        together.wait()
        try:
            with sessions.begin() as session:
                acts[place](session)
        except (errors.ForebayError, SQLAlchemyError) as error:
            told[place] = type(error).__name__

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told


def test_changes_at_one_moment_come_one_after_the_other(sessions: Sessions, caller: Caller) -> None:
    store_id = made(sessions, caller)

    def change(session: Session) -> object:
        return stores.change(session, caller, store_id, name="two")

    for _ in range(5):
        assert at_once(sessions, [change] * 4) == [""] * 4


def test_store_is_changed_while_files_are_attached(sessions: Sessions, caller: Caller) -> None:
    """Who attaches holds up nobody who changes it, only who ends it."""
    store_id, file_id = made(sessions, caller), kept(sessions, caller)
    with sessions.begin() as attaching:
        attach(attaching, caller, store_id, file_id)
        with sessions.begin() as session:
            session.execute(text("SET LOCAL lock_timeout = '1s'"))
            assert stores.change(session, caller, store_id, name="two").name == "two"
        with sessions.begin() as session:
            assert session.execute(text("SELECT FROM vector_stores FOR UPDATE SKIP LOCKED")).all() == []


def test_store_that_is_deleted_while_files_are_attached_is_there_or_gone(sessions: Sessions, caller: Caller) -> None:
    """Who attaches has it, or is told that there is none; no deadlock ends either."""
    for _ in range(5):
        store_id = made(sessions, caller)
        file_id = kept(sessions, caller)

        acts = [deleting(sessions, caller, store_id), *[attaching(caller, store_id, file_id)] * 3]
        deleted, *attached = at_once(sessions, acts)
        assert deleted == ""
        assert set(attached) <= {"", errors.NotFound.__name__, errors.Conflict.__name__}


def test_end_that_is_set_later_is_counted_from_then(sessions: Sessions, caller: Caller) -> None:
    """However long the store wasn't used before: else it would be gone at once, for good."""
    store_id = made(sessions, caller)
    with sessions.begin() as session:
        session.execute(text("UPDATE vector_stores SET last_active_at = now() - interval '30 days'"))
    with sessions.begin() as session:
        assert stores.change(session, caller, store_id, expires_days=7).status == "completed"
    with sessions.begin() as session:
        assert stores.change(session, caller, store_id, name="alive").name == "alive"


def test_store_is_empty_once_nothing_is_in_it(sessions: Sessions, caller: Caller) -> None:
    """A document that somebody holds at that moment is deleted the next time."""
    store_id, file_id = made(sessions, caller), kept(sessions, caller)
    with sessions.begin() as session:
        attach(session, caller, store_id, file_id)
    expire(sessions, store_id)
    with sessions.begin() as holds:
        holds.execute(text("SELECT FROM documents FOR UPDATE"))
        assert stores.tidy(sessions, caller.tenant_id, lambda: True)
    with sessions.begin() as session:
        assert stores.get(session, caller, store_id).counts.total == 1
    assert stores.tidy(sessions, caller.tenant_id, lambda: True)
    with sessions.begin() as session:
        assert stores.get(session, caller, store_id).counts.total == 0


def test_files_that_are_attached_expire_and_go_with_their_store_at_one_moment(
    sessions: Sessions, caller: Caller
) -> None:
    """Nobody waits for the other for ever, and nothing of the files or of the store is left."""
    bytes_of = Stores(IN_POSTGRES, sessions)
    for _ in range(3):
        store_id, other = made(sessions, caller), made(sessions, caller)
        file_ids = [kept(sessions, caller) for _ in range(4)]
        with sessions.begin() as session:
            attach(session, caller, store_id, *file_ids)
            attach(session, caller, other, *file_ids)
            # In another order than they were made, in which nobody may lock them.
            late = "UPDATE files SET expires_at = now() - make_interval(secs => 1 + random()) WHERE id = ANY(:ids)"
            session.execute(text(late), {"ids": file_ids[:3]})
        told = at_once(
            sessions,
            [
                deleting(sessions, caller, store_id),
                lambda _: tidying.tidy(bytes_of, caller.tenant_id, lambda: True),
                lambda _: tidying.tidy(bytes_of, caller.tenant_id, lambda: True),
                attaching(caller, other, file_ids[3]),
                attaching(caller, other, file_ids[3]),
                lambda _, last=file_ids[3]: files.delete(bytes_of, caller, last),  # type: ignore[misc]
            ],
        )
        assert told[:3] + told[5:] == [""] * 4
        assert set(told[3:5]) <= {"", errors.InvalidField.__name__}
        assert tidying.tidy(bytes_of, caller.tenant_id, lambda: True)
        with sessions() as session:
            assert session.scalar(text("SELECT count(*) FROM documents")) == 0


def test_documents_of_a_file_that_goes_are_deleted_some_at_a_time(
    sessions: Sessions, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file may be in any number of stores: no transaction deletes what was made of it in all."""
    monkeypatch.setattr(tidying, "DOCUMENTS_AT_ONCE", 1)
    file_id, left = kept(sessions, caller), []
    with sessions.begin() as session:
        for _ in range(3):
            attach(session, caller, stores.create(session, tables.MODELS, caller, stores.Wish()), file_id)
        session.execute(text("UPDATE files SET expires_at = now() - interval '1 second'"))
    for _ in range(3):
        assert not tidying.tidy(Stores(IN_POSTGRES, sessions), caller.tenant_id, lambda: False)
        with sessions() as session:
            left.append(session.scalar(text("SELECT count(*) FROM documents")))
    assert left == [2, 1, 0]
    assert tidying.tidy(Stores(IN_POSTGRES, sessions), caller.tenant_id, lambda: True)
    with sessions() as session:
        assert session.scalar(text("SELECT count(*) FROM files")) == 0


def test_store_that_is_deleted_is_emptied_first_some_at_a_time(
    sessions: Sessions, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks meanwhile finds that it has expired."""
    monkeypatch.setattr(stores, "_EMPTIED_AT_ONCE", 1)
    store_id, seen = made(sessions, caller), []
    with sessions.begin() as session:
        attach(session, caller, store_id, *(kept(sessions, caller) for _ in range(2)))

    class Watched(Sessions):
        @contextmanager
        def begin(self) -> Iterator[Session]:
            with super().begin() as session:
                yield session
            with sessions.begin() as session, suppress(errors.NotFound):
                found = stores.get(session, caller, store_id)
                seen.append((found.status, found.counts.total))

    stores.delete(Watched(sessions.kw["bind"]), caller, store_id)
    assert seen == [("expired", 2), ("expired", 1), ("expired", 0), ("expired", 0)]
    with sessions.begin() as session, pytest.raises(errors.NotFound):
        stores.get(session, caller, store_id)


def test_search_by_its_name_keeps_a_store_alive_until_it_has_expired(sessions: Sessions, caller: Caller) -> None:
    """Once a minute is noted, and a question over it counts too. What isn't a store's is let be."""
    store_id = made(sessions, caller)
    name = stores.collection_name(store_id)
    question = Submission("rag", "alpha", Question("one?", name))
    seen = []
    with sessions.begin() as session:
        stores.change(session, caller, store_id, expires_days=1)
    for act in (
        lambda session: stores.searched(session, caller, name),
        lambda session: kinds.plan(session, tables.MODELS, caller, question),
    ):
        with sessions.begin() as session:
            session.execute(text("UPDATE vector_stores SET last_active_at = now() - interval '2 minutes'"))
        for _ in range(2):
            with sessions.begin() as session:
                act(session)
            with sessions() as session:
                seen.append(session.scalar(text("SELECT last_active_at FROM vector_stores")))
    assert seen[0] == seen[1] < seen[2] == seen[3]
    expire(sessions, store_id)
    with sessions.begin() as session:
        with pytest.raises(errors.Conflict):
            stores.searched(session, caller, name)
        with pytest.raises(errors.InvalidField):
            kinds.plan(session, tables.MODELS, caller, question)
        stores.searched(session, caller, "facts")


@pytest.mark.parametrize("cut", [False, True])
def test_file_that_is_taken_out_while_it_is_read_holds_up_nobody(sessions: Sessions, caller: Caller, cut: bool) -> None:
    """Neither who takes it out nor who reads it is told of a deadlock: both come to the document's row first."""
    store_id, file_id = made(sessions, caller), kept(sessions, caller)
    with sessions.begin() as session:
        attach(session, caller, store_id, file_id)
        [document_id] = session.scalars(text("SELECT id FROM documents"))
    tenant_id, found = caller.tenant_id, Extracted("one two")
    pieces = [Piece("one", 1, 0, 3), Piece("two", 1, 4, 7)]
    if cut:  # otherwise than it is cut now
        with sessions.begin() as session:
            ingest.extracted(session, tenant_id, document_id, found)
            ingest.fix_dimensions(session, tenant_id, document_id, 2, model="embedder")
            vectors = np.eye(2, dtype=np.float32)
            ingest.store(session, tenant_id, document_id, pieces, vectors, model="embedder", last=False)

    def read(session: Session) -> object:
        if cut:
            return ingest.resume(session, tenant_id, document_id, pieces[:1])
        return ingest.extracted(session, tenant_id, document_id, found)

    told: list[list[str]] = []
    with sessions.begin() as session:
        session.execute(text("SELECT FROM documents FOR UPDATE"))
        reading = threading.Thread(target=lambda: told.append(at_once(sessions, [read])))
        reading.start()
        waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        waiting.until(lambda: session.scalar(waits))
        session.execute(text("DELETE FROM documents"))
    reading.join()
    assert told == [[""]]


@pytest.mark.parametrize(("end", "told"), [(Status.CANCELLED, "cancelled"), (Status.EXPIRED, "failed")])
def test_file_is_cancelled_only_where_somebody_cancelled_its_job(end: Status, told: str) -> None:
    assert counting.status_of("pending", False, (end, None, None)) == told
