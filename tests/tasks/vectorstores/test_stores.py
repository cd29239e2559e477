"""Vector stores beside each other: who changes, attaches and deletes at one moment waits, and nobody for the other."""

import threading
import uuid
from collections.abc import Callable
from functools import partial

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from db.session import Sessions
from tasks import errors, kinds
from tasks.documents.attaching import Attached
from tasks.files import files, keeping
from tasks.files.keeping import Room
from tasks.files.stores import Stores
from tasks.jobs import jobs
from tasks.jobs.requests import Submission
from tasks.keys import Caller
from tasks.kinds.ingest import Ingest
from tasks.settings import IN_POSTGRES
from tasks.vectorstores import stores
from tests import tables


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


def test_store_that_is_deleted_while_files_are_attached_is_there_or_gone(sessions: Sessions, caller: Caller) -> None:
    """Who attaches has it, or is told that there is none; no deadlock ends either."""
    for _ in range(5):
        store_id = made(sessions, caller)
        delete = partial(stores.delete, caller=caller, store_id=store_id)
        attach = partial(stores.require_alive, caller=caller, store_id=store_id, keep=True)
        deleted, *attached = at_once(sessions, [delete, *[attach] * 3])
        assert deleted == ""
        assert set(attached) <= {"", errors.NotFound.__name__}


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
