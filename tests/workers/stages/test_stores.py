"""Files attached to vector stores and read there, and responses that search those, on real PostgreSQL and Redis."""

import uuid
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import event, text

from db.session import Sessions
from tasks import errors, ids, kinds
from tasks.documents import library
from tasks.documents.attaching import Attached
from tasks.files import files, keeping, postgres
from tasks.files.files import Wish
from tasks.files.keeping import Room
from tasks.files.stores import Stores
from tasks.jobs import jobs, stages
from tasks.jobs.requests import Submission
from tasks.keys import Caller
from tasks.kinds.generation import Generation
from tasks.kinds.ingest import Ingest
from tasks.kinds.response import Asked
from tasks.models import catalog
from tasks.settings import IN_POSTGRES
from tasks.vectorstores import files as inside
from tasks.vectorstores import stores as vector_stores
from tasks.vectorstores.searching import FileSearch
from tests import tables
from tests.workers import reembedded
from tests.workers.conftest import MakeWorker
from tests.workers.staged import look
from workers import run
from workers.engines.echo import Echo
from workers.stages import extract
from workers.worker import Worker

LAMP, BOAT = "The red lamp is in the kitchen.", "The boat costs 42 coins."


def kept(sessions: Sessions, caller: Caller, raw: bytes, name: str = "one.txt") -> uuid.UUID:
    stores = Stores(IN_POSTGRES, sessions)
    writing = keeping.kept(stores, caller.tenant_id, [raw], Room("file", len(raw), 10**9))
    with writing as part, sessions.begin() as session:
        return files.add(session, caller, part, Wish(name, "assistants")).id


def made(sessions: Sessions, caller: Caller) -> uuid.UUID:
    with sessions.begin() as session:
        return vector_stores.create(session, tables.MODELS, caller, vector_stores.Wish())


def attach(sessions: Sessions, caller: Caller, store_id: uuid.UUID, *wanted: Attached) -> uuid.UUID:
    """The job that reads the files, dispatched."""
    asked = Submission("ingest", None, Ingest(vector_stores.collection_name(store_id), files=wanted))
    with sessions.begin() as session:
        job_id = jobs.insert(session, caller, kinds.plan(session, tables.MODELS, caller, asked))[0].id
    tables.dispatch(sessions, job_id)
    return job_id


def read(sessions: Sessions, make_worker: MakeWorker, job_id: uuid.UUID, embedder: Worker) -> None:
    """Both stages, to the end."""
    run.run(make_worker(catalog.CONTROL), job_id)
    tables.dispatch(sessions, job_id)
    run.run(embedder, job_id)


def filled(sessions: Sessions, caller: Caller, make_worker: MakeWorker, said: str, embedder: Worker) -> uuid.UUID:
    store_id = made(sessions, caller)
    if embedder.queue != "embedder":
        change = text("UPDATE collections SET model = :model WHERE id = :id")
        with sessions.begin() as session:
            session.execute(change, {"model": embedder.queue, "id": store_id})
    job_id = attach(sessions, caller, store_id, Attached(kept(sessions, caller, said.encode())))
    read(sessions, make_worker, job_id, embedder)
    return store_id


def asking(sessions: Sessions, caller: Caller, search: FileSearch, question: str = LAMP) -> uuid.UUID:
    """A response that is to search, dispatched."""
    items: tuple[Mapping[str, Any], ...] = (
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": question}]},
    )
    tool = {"type": "file_search", "vector_store_ids": [ids.show(id, ids.VECTOR_STORE) for id in search.stores]}
    asked = Asked(items, Generation(max_tokens=3), said={"tools": [tool]}, search=search)
    with sessions.begin() as session:
        plan = kinds.plan(session, tables.MODELS, caller, Submission("response", "alpha", asked))
        job_id = jobs.insert(session, caller, plan)[0].id
    tables.dispatch(sessions, job_id)
    return job_id


def test_file_is_read_where_it_is_kept(sessions: Sessions, caller: Caller, make_worker: MakeWorker) -> None:
    """Nothing of its bytes is in the document's row; its digest is known once it has been read."""
    store_id, file_id = made(sessions, caller), kept(sessions, caller, LAMP.encode())
    job_id = attach(sessions, caller, store_id, Attached(file_id))
    with sessions.begin() as session:
        assert session.scalars(text("SELECT raw FROM document_texts")).all() == [None]
    read(sessions, make_worker, job_id, make_worker("embedder"))
    with sessions.begin() as session:
        [document], _ = library.page(session, caller, limit=2)
        shown = inside.get(session, caller, store_id, file_id)
    assert (document.status, document.filename, shown.status) == ("ready", "one.txt", "completed")
    assert document.digest is not None
    assert document.external_id == ids.show(file_id, ids.FILE)


def test_file_that_is_deleted_while_it_waits_is_in_no_store(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """Its job ends without it."""
    store_id, file_id = made(sessions, caller), kept(sessions, caller, LAMP.encode())
    job_id = attach(sessions, caller, store_id, Attached(file_id))
    files.delete(Stores(IN_POSTGRES, sessions), caller, file_id)
    run.run(make_worker(catalog.CONTROL), job_id)
    assert look(sessions, caller, job_id).status == "succeeded"
    with sessions.begin() as session:
        assert vector_stores.get(session, caller, store_id).counts.total == 0


def test_file_that_has_expired_before_its_turn_fails(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    store_id, file_id = made(sessions, caller), kept(sessions, caller, LAMP.encode())
    job_id = attach(sessions, caller, store_id, Attached(file_id))
    with sessions.begin() as session:
        session.execute(text("UPDATE files SET expires_at = now() - interval '1 second'"))
    run.run(make_worker(catalog.CONTROL), job_id)
    with sessions.begin() as session:
        shown = inside.get(session, caller, store_id, file_id)
    assert (shown.status, shown.error and shown.error[0]) == ("failed", "invalid_file")


def test_file_whose_bytes_are_lost_fails_alone(sessions: Sessions, caller: Caller, make_worker: MakeWorker) -> None:
    """By no fault of its own, and the others of its job are read."""
    store_id, lost = made(sessions, caller), kept(sessions, caller, LAMP.encode())
    whole = kept(sessions, caller, BOAT.encode(), "two.txt")
    job_id = attach(sessions, caller, store_id, Attached(lost), Attached(whole))
    with sessions.begin() as session:
        session.execute(text("DELETE FROM file_parts WHERE file_id = :id"), {"id": lost})
    read(sessions, make_worker, job_id, make_worker("embedder"))
    with sessions.begin() as session:
        first, second = (inside.get(session, caller, store_id, file_id) for file_id in (lost, whole))
    assert (first.status, first.error and first.error[0]) == ("failed", "server_error")
    assert second.status == "completed"


@pytest.mark.parametrize(("refusals", "first_is"), [(2, "completed"), (4, "failed")])
def test_store_of_files_that_does_not_answer_is_waited_for(
    sessions: Sessions,
    caller: Caller,
    make_worker: MakeWorker,
    monkeypatch: pytest.MonkeyPatch,
    refusals: int,
    first_is: str,
) -> None:
    """Once that has lasted too long the file fails alone."""
    monkeypatch.setattr(extract, "_PAUSE_S", 0.01)
    monkeypatch.setattr(extract, "AWAY_S", 0.03)
    store_id, first = made(sessions, caller), kept(sessions, caller, LAMP.encode())
    second = kept(sessions, caller, BOAT.encode(), "two.txt")
    job_id = attach(sessions, caller, store_id, Attached(first), Attached(second))
    asked = iter(range(1000))
    get = postgres.PostgresStore.get

    def refuse(*args: Any) -> bytes:
        if next(asked) < refusals:
            raise errors.Unavailable("the store of files can't be reached; try again")
        return get(*args)

    monkeypatch.setattr(postgres.PostgresStore, "get", refuse)
    read(sessions, make_worker, job_id, make_worker("embedder"))
    with sessions.begin() as session:
        told = [inside.get(session, caller, store_id, file_id).status for file_id in (first, second)]
    assert told == [first_is, "completed"]


def test_each_file_is_cut_as_it_is_wanted(sessions: Sessions, caller: Caller, make_worker: MakeWorker) -> None:
    """No chunk is larger than its own file's size."""
    store_id, said = made(sessions, caller), " ".join(f"Number {number} is here." for number in range(40)).encode()
    usual, small = kept(sessions, caller, said), kept(sessions, caller, said + b" It ends.", "two.txt")
    job_id = attach(sessions, caller, store_id, Attached(usual), Attached(small, None, 10, 0))
    read(sessions, make_worker, job_id, make_worker("embedder"))
    with sessions.begin() as session:
        query = "SELECT d.filename, max(c.tokens) FROM chunks c JOIN documents d ON d.id = c.document_id GROUP BY 1"
        most = {row[0]: row[1] for row in session.execute(text(query))}
    assert most["two.txt"] <= 10 < most["one.txt"]


@pytest.fixture
def both(sessions: Sessions, caller: Caller, make_worker: MakeWorker) -> tuple[FileSearch, Worker, Worker]:
    """A search in two stores of different models, and the workers of these."""
    embedder, other = make_worker("embedder"), make_worker("other", reembedded.other())
    found = [filled(sessions, caller, make_worker, *each) for each in ((LAMP, embedder), (BOAT, other))]
    return FileSearch(tuple(found), threshold=0.0), embedder, other


def test_stores_of_two_models_are_searched_one_after_the_other(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, both: tuple[FileSearch, Worker, Worker]
) -> None:
    """Three stages, one job; what was found in both is told in one, and what the questions' vectors cost is charged."""
    search, embedder, other = both
    job_id = asking(sessions, caller, search)
    for worker in (embedder, other):
        assert tables.column(sessions, job_id, "stage") == stages.SEARCH_STORES
        assert tables.column(sessions, job_id, "queue") == worker.queue
        run.run(worker, job_id)
        tables.dispatch(sessions, job_id)
    assert tables.column(sessions, job_id, "stage") == stages.GENERATE
    run.run(make_worker("alpha", Echo("alpha", 2, 400)), job_id)
    result = look(sessions, caller, job_id).result
    assert result is not None
    assert [passage["text"] for passage in result["passages"]] == [LAMP, BOAT]
    assert result["question"] == LAMP
    assert look(sessions, caller, job_id).spent.embedding > 0


def test_store_that_is_deleted_meanwhile_has_nothing(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, both: tuple[FileSearch, Worker, Worker]
) -> None:
    """The response goes on without it."""
    search, embedder, _ = both
    job_id = asking(sessions, caller, search)
    vector_stores.delete(sessions, caller, search.stores[1])
    run.run(embedder, job_id)
    tables.dispatch(sessions, job_id)
    run.run(make_worker("alpha", Echo("alpha", 2, 400)), job_id)
    result = look(sessions, caller, job_id).result
    assert result is not None
    assert [passage["text"] for passage in result["passages"]] == [LAMP]


def test_question_that_is_longer_than_the_model_reads_is_searched_by_its_end(
    sessions: Sessions, caller: Caller, both: tuple[FileSearch, Worker, Worker]
) -> None:
    search, embedder, _ = both
    job_id = asking(sessions, caller, FileSearch(search.stores[:1]), "word " * 50 + LAMP)
    run.run(embedder, job_id)
    assert tables.column(sessions, job_id, "stage") == stages.GENERATE


def test_passages_that_leave_no_room_are_not_read(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, both: tuple[FileSearch, Worker, Worker]
) -> None:
    """The answer is given all the same."""
    search, embedder, _ = both
    job_id = asking(sessions, caller, FileSearch(search.stores[:1]))
    run.run(embedder, job_id)
    tables.dispatch(sessions, job_id)
    run.run(make_worker("alpha", Echo("alpha", 2, 24)), job_id)
    result = look(sessions, caller, job_id).result
    assert result is not None
    assert result["passages"] == []
    assert result["message"]["content"]


@pytest.mark.parametrize("narrowed", [False, True])
def test_many_stores_are_searched_in_as_many_statements_as_two(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, narrowed: bool
) -> None:
    """Both when it is accepted and when it is searched; and all of them are."""
    embedder = make_worker("embedder")
    texts = [f"The red lamp number {number} is in the kitchen." for number in range(6)]
    found = [filled(sessions, caller, make_worker, each, embedder) for each in texts]
    only = {"type": "ne", "key": "k", "value": 1} if narrowed else None
    sent: list[list[str]] = []

    def note(*told: Any) -> None:
        sent[-1].append(told[2])

    event.listen(sessions.kw["bind"], "before_cursor_execute", note)
    for count in (2, 6):
        sent.append([])
        job_id = asking(sessions, caller, FileSearch(tuple(found[:count]), threshold=0.0, filter=only))
        accepted = len(sent[-1])
        run.run(embedder, job_id)
        sent[-1].insert(0, str(accepted))
        passages = tables.column(sessions, job_id, "stage_input")["passages"]
        assert {one["text"] for one in passages} == set(texts[:count])
    event.remove(sessions.kw["bind"], "before_cursor_execute", note)
    assert sent[0][0] == sent[1][0]
    assert len(sent[0]) == len(sent[1])
