"""How the change of a collection's model ends: its index, the switch, and what is cleared away after it."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from db import session as db_session
from db.documents import collections, index, reembedding
from db.scope import scope
from db.session import Sessions
from tasks import errors
from tasks.documents import ingest, tending
from tasks.documents import reembedding as tasks_reembedding
from tasks.jobs import endings
from tasks.keys import Caller
from tests.support.waiting import until
from tests.workers.conftest import MakeWorker
from tests.workers.reembedded import WIDTH, ask, by_old, columns, left, other
from tests.workers.staged import ingesting, look, written
from workers import run
from workers.stages import reembed


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


@pytest.mark.parametrize("locked", ["documents", "collections"])
@pytest.mark.parametrize("clears", [False, True])
def test_documents_that_are_deleted_meanwhile_are_waited_for(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, facts: None, clears: bool, locked: str
) -> None:
    """In whichever order they go: who stores vectors or drops them holds no chunk that is deleted after another."""
    if clears:
        switched(sessions, caller, make_worker)
    else:
        ask(sessions, caller)
    with sessions.begin() as session, scope(session, caller.tenant_id):
        home = collections.find(session, caller.tenant_id, "facts")
        assert home is not None
        lot = reembedding.lot(session, caller.tenant_id, home.id, after=None, most=100)
        reembedding.set_dimensions(session, caller.tenant_id, home.id, len(lot))

    def act() -> bool:
        with sessions.begin() as session:
            if clears:
                return tasks_reembedding.clear(session, caller.tenant_id, home.id, most=100)
            return tasks_reembedding.store(session, caller.tenant_id, home.id, lot, np.eye(len(lot), dtype=np.float32))

    with ThreadPoolExecutor(1) as pool:
        with sessions.begin() as session:
            session.execute(text(f"SELECT FROM {locked} ORDER BY id FOR UPDATE"))
            document_ids = session.scalars(text("SELECT id FROM documents ORDER BY id DESC")).all()
            session.execute(text("DELETE FROM documents WHERE id = :id"), {"id": document_ids[0]})
            acting = pool.submit(act)
            until(lambda: session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))
            for id in document_ids[1:]:
                session.execute(text("DELETE FROM documents WHERE id = :id"), {"id": id})
        assert acting.result() in (clears, False)


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
