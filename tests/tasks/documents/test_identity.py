"""Versions of a document, of which the newest that is ready is found; and the same contents twice."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from threading import Barrier

import numpy as np
import pytest
import redis

from db.session import Sessions
from tasks import errors, ids
from tasks.documents import ends, ingest, library
from tasks.documents.chunking import Piece
from tasks.documents.ingest import NewDocument
from tasks.documents.library import Document
from tasks.jobs import endings, removing
from tasks.keys import Caller
from tests import shelves, tables

VECTOR = np.eye(4, dtype=np.float32)[:1]


def new(
    text: str, external_id: str | None = None, filename: str | None = None, *, replaces: bool = False
) -> NewDocument:
    return NewDocument(text, None, "text", None, filename, {}, external_id=external_id, replaces=replaces)


def bring(sessions: Sessions, caller: Caller, *given: NewDocument, name: str = "books") -> list[uuid.UUID]:
    """The ids of documents that wait."""
    with sessions.begin() as session:
        job = shelves.bring(session, caller, name, given)
        return [one.id for one in ingest.work(session, caller.tenant_id, job.id).waiting]


def store(sessions: Sessions, caller: Caller, document_id: uuid.UUID, *, first: int = 0, last: bool = True) -> bool:
    with sessions.begin() as session:
        ingest.fix_dimensions(session, caller.tenant_id, document_id, 4, model="embedder")
    with sessions.begin() as session:
        pieces, where = [Piece("x", 1)], {"first": first, "last": last}
        return ingest.store(session, caller.tenant_id, document_id, pieces, VECTOR, model="embedder", **where)


def shown(sessions: Sessions, caller: Caller, name: str = "books") -> list[Document]:
    with sessions() as session:
        return library.page(session, caller, limit=100, collection=name)[0]


def there(sessions: Sessions, caller: Caller, name: str = "books") -> list[uuid.UUID]:
    return sorted(document.id for document in shown(sessions, caller, name))


@pytest.mark.parametrize("how", ["external_id", "filename"])
def test_new_version_replaces_the_old_one_when_it_is_ready(sessions: Sessions, caller: Caller, how: str) -> None:
    """Until then the old one stays, also when it fails or is stored in part."""
    given = {"external_id": "e"} if how == "external_id" else {"filename": "f.txt", "replaces": True}
    [old] = bring(sessions, caller, new("old", **given))
    store(sessions, caller, old)
    [failed] = bring(sessions, caller, new("failed", **given))
    with sessions.begin() as session:
        ingest.failed(session, caller.tenant_id, failed, "x", "y")
    [newest] = bring(sessions, caller, new("newest", **given))
    store(sessions, caller, newest, last=False)
    assert there(sessions, caller) == [old, failed, newest]
    assert store(sessions, caller, newest, first=1)
    assert there(sessions, caller) == [newest]


@pytest.mark.parametrize("how", ["external_id", "filename"])
def test_failed_version_takes_the_place_of_failed_ones_alone(sessions: Sessions, caller: Caller, how: str) -> None:
    """So a damaged file that is brought again and again is told of once; what is ready or waits stays."""
    given = {"external_id": "e"} if how == "external_id" else {"filename": "f.txt", "replaces": True}
    [ready] = bring(sessions, caller, new("ready", **given))
    store(sessions, caller, ready)
    others = bring(sessions, caller, new("x", "other"), new("x", None, "f.txt"), new("x", "f", "f.txt"), new("x"))
    others += bring(sessions, caller, new("x", **given), name="maps")
    [waiting, *broken] = [bring(sessions, caller, new("broken", **given))[0] for _ in range(4)]
    kept = others[:1] + others[2:] if how == "filename" else others
    with sessions.begin() as session:
        for document_id in (*kept, *broken):
            ingest.failed(session, caller.tenant_id, document_id, "x", "y")
    assert there(sessions, caller) == sorted([ready, *others[:-1], waiting, broken[-1]])
    assert there(sessions, caller, "maps") == others[-1:]


@pytest.mark.parametrize("removed", [False, True], ids=["", "and removed"])
def test_version_whose_job_was_cancelled_goes_with_the_next(
    sessions: Sessions, caller: Caller, client: redis.Redis, removed: bool
) -> None:
    """Whether the next is ready or fails: a client sees that it has failed."""
    for becomes_ready in (True, False):
        [left] = bring(sessions, caller, new("left", "e"))
        with sessions.begin() as session:
            job_id = library.get(session, caller, left).job_id
        assert job_id is not None
        endings.cancel(sessions, client, caller, job_id, 60)
        if removed:
            removing.erase(sessions, client, caller, job_id)
        [newest] = bring(sessions, caller, new("newest", "e"))
        if becomes_ready:
            assert store(sessions, caller, newest)
        else:
            with sessions.begin() as session:
                ingest.failed(session, caller.tenant_id, newest, "x", "y")
        kept = shown(sessions, caller)
        assert [one.id for one in kept if one.status == "failed"] == [newest] * (not becomes_ready)
        assert left not in [one.id for one in kept]


def test_others_are_left_alone(sessions: Sessions, caller: Caller) -> None:
    """Another external id, another collection, another tenant; a file name of another identity."""
    others = [new("a", "other"), new("b", None, "f.txt"), new("c", "f", "f.txt"), new("d", None, "g.txt"), new("e")]
    kept = bring(sessions, caller, *others)
    elsewhere = bring(sessions, caller, new("x", "e"), name="maps")
    theirs = tables.tenant(sessions, "theirs")
    [foreign] = bring(sessions, theirs, new("x", "e"))
    for one in [*kept, *elsewhere]:
        store(sessions, caller, one)
    store(sessions, theirs, foreign)
    [mine] = bring(sessions, caller, new("mine", "e"))
    store(sessions, caller, mine)
    assert there(sessions, caller) == [*kept, mine]
    [file] = bring(sessions, caller, new("file", None, "f.txt", replaces=True))
    store(sessions, caller, file)
    assert there(sessions, caller) == [one for one in [*kept, mine, file] if one != kept[1]]
    assert there(sessions, caller, "maps") == elsewhere
    assert there(sessions, theirs) == [foreign]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_later_accepted_wins_in_whatever_order_they_end(
    sessions: Sessions, caller: Caller, order: tuple[int, ...]
) -> None:
    """What would be ready after a newer one is gone."""
    versions = [bring(sessions, caller, new(str(number), "e"))[0] for number in range(3)]
    for number in order:
        store(sessions, caller, versions[number])
        ready = [one.id for one in shown(sessions, caller) if one.status == "ready"]
        assert ready == [max(versions[done] for done in order[: order.index(number) + 1])]
    assert there(sessions, caller) == versions[2:]


def test_versions_that_end_together_leave_the_newest(sessions: Sessions, caller: Caller) -> None:
    """One at least is there at every moment, and nobody waits for ever."""
    [old] = bring(sessions, caller, new("old", "e"))
    store(sessions, caller, old)
    for _ in range(5):
        versions = [bring(sessions, caller, new(f"{number}", "e"))[0] for number in range(4)]
        together = Barrier(len(versions) + 1)

        def end(document_id: uuid.UUID, together: Barrier = together) -> None:
            together.wait()
            store(sessions, caller, document_id)

        with ThreadPoolExecutor() as pool:
            ends = [pool.submit(end, version) for version in versions]
            together.wait()
            while not all(done.done() for done in ends):
                assert [one.status for one in shown(sessions, caller)].count("ready") == 1
            for done in ends:
                done.result()
        assert there(sessions, caller) == versions[3:]


@pytest.mark.parametrize("what", ["collection", "old", "new"])
def test_deleting_while_a_version_becomes_ready_blocks_nobody(sessions: Sessions, caller: Caller, what: str) -> None:
    """Whoever comes second finds what the first left; deleting the new version never takes the old one along."""
    for _ in range(8):
        [old] = bring(sessions, caller, new("old", "e"))
        store(sessions, caller, old)
        [newest] = bring(sessions, caller, new("new", "e"))
        together = Barrier(2)

        def delete(old: uuid.UUID = old, newest: uuid.UUID = newest, together: Barrier = together) -> None:
            together.wait()
            with sessions.begin() as session:
                if what == "collection":
                    library.delete_collection(session, caller, "books")
                else:
                    library.delete(session, caller, old if what == "old" else newest)

        with ThreadPoolExecutor() as pool:
            deleted = pool.submit(delete)
            together.wait()
            stored = store(sessions, caller, newest)
            error = deleted.exception()
        assert error is None or (what == "old" and isinstance(error, errors.NotFound))
        if what == "collection":
            continue
        left = there(sessions, caller)
        assert left == ([newest] if what == "old" else [] if stored else [old])


def test_same_contents_twice_are_told(sessions: Sessions, caller: Caller) -> None:
    """In a collection, whatever they are called; versions of one document aren't doubles of each other."""
    first, second, other = bring(sessions, caller, new("one"), new("one", "e"), new("two"))
    [version] = bring(sessions, caller, new("two", "e"))
    [double] = bring(sessions, caller, new("two", "d"))
    [elsewhere] = bring(sessions, caller, new("one"), name="maps")
    told = {one.id: one.duplicate_of for one in [*shown(sessions, caller), *shown(sessions, caller, "maps")]}
    assert told == {first: None, second: first, other: None, version: other, double: other, elsewhere: None}
    with sessions.begin() as session:
        ended = ends.of_job(session, caller.tenant_id, library.get(session, caller, second).job_id)
        assert [one.get("duplicate_of") for one in ended.result["documents"]] == [
            None, ids.show(first, ids.DOCUMENT), None,
        ]  # fmt: skip
        library.delete(session, caller, first)
        assert library.get(session, caller, second).duplicate_of is None


def test_double_of_nothing_but_a_version_or_a_failure_is_none(sessions: Sessions, caller: Caller) -> None:
    """What failed can't be found instead."""
    [first] = bring(sessions, caller, new("one", "e"))
    [again] = bring(sessions, caller, new("one", "e"))
    [failed] = bring(sessions, caller, new("two"))
    with sessions.begin() as session:
        ingest.failed(session, caller.tenant_id, failed, "x", "y")
    [retried] = bring(sessions, caller, new("two"))
    assert {one.duplicate_of for one in shown(sessions, caller)} == {None}
    assert there(sessions, caller) == [first, again, failed, retried]


def test_warning_is_kept_once(sessions: Sessions, caller: Caller) -> None:
    [document_id] = bring(sessions, caller, new("one"))
    with sessions.begin() as session:
        for sentence in ("It is odd.", "It is long.", "It is odd."):
            ingest.warn(session, caller.tenant_id, document_id, sentence)
        ingest.warn(session, tables.tenant(sessions, "theirs").tenant_id, document_id, "Not mine.")
        assert library.get(session, caller, document_id).warnings == ["It is odd.", "It is long."]
        [told] = ends.of_job(session, caller.tenant_id, library.get(session, caller, document_id).job_id).result[
            "documents"
        ]
        assert told["warnings"] == ["It is odd.", "It is long."]
