"""Vector stores beside each other: who changes, attaches and deletes at one moment waits, and nobody for the other."""

import threading
import uuid
from collections.abc import Callable
from functools import partial

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from db.session import Sessions
from tasks import errors
from tasks.keys import Caller
from tasks.vectorstores import stores
from tests import tables


def made(sessions: Sessions, caller: Caller) -> uuid.UUID:
    with sessions.begin() as session:
        return stores.create(session, tables.MODELS, caller, stores.Wish("one"))


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
