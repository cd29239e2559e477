"""The indexes of large collections' vectors: who has one, and what is found with it."""

import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from db import session as db_session
from db.documents import index, rankings, words
from db.documents.rankings import Reach
from db.scope import scope
from db.session import Sessions
from tasks.documents import library, tending
from tasks.keys import Caller
from tests import shelves, tables

DIMENSIONS = 16
LEAST = 50


@pytest.fixture
def engine(postgres_url: str, sessions: Sessions) -> Iterator[Engine]:
    """An engine; all indexes are dropped afterwards."""
    engine = db_session.open_engine(postgres_url, pool_size=4)
    yield engine
    with index.alone(engine) as connection:
        assert connection is not None
        for name in index.left_over(connection, ()):
            index.drop(connection, name)
    engine.dispose()


def made(engine: Engine) -> list[str]:
    with index.alone(engine) as connection:
        assert connection is not None
        return index.left_over(connection, ())


def valid(engine: Engine, name: str) -> bool | None:
    query = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
    with engine.connect() as connection:
        return connection.scalar(query, {"name": name})


def large(sessions: Sessions, caller: Caller, count: int = 200, *, seed: int = 0) -> uuid.UUID:
    texts = ["fox"] * (count // 2) + ["hen"] * (count - count // 2)
    return shelves.filled(sessions, caller, texts, shelves.units(count, DIMENSIONS, seed=seed))


def test_walking_the_index_finds_what_looking_at_every_chunk_finds(
    sessions: Sessions, caller: Caller, engine: Engine
) -> None:
    """Beside another tenant's chunks, and none of those; what is compared is the indexed expression itself."""
    home = large(sessions, caller)
    large(sessions, tables.tenant(sessions, "theirs"), seed=1)
    tending.tend(engine, sessions, least=LEAST)
    asked = shelves.units(1, DIMENSIONS, seed=2)[0]
    scans = text("SELECT pg_stat_get_xact_numscans(to_regclass(:name)::oid)")
    with sessions.begin() as session:
        for way in ("seqscan", "bitmapscan", "sort"):  # so few chunks the planner would rather read
            session.execute(text(f"SET LOCAL enable_{way} = off"))
        with scope(session, caller.tenant_id, rankings.settings(20)):
            what = (session, Reach(caller.tenant_id, home), asked, words.NOTHING)
            walked = rankings.ranked(*what, ("index",), depth=20)
            assert walked == rankings.ranked(*what, ("vectors",), depth=20)
            assert len(walked[0]) == 20
        assert session.scalar(scans, {"name": index.name(home, DIMENSIONS)}) == 1


def test_collection_says_how_many_chunks_its_index_has(sessions: Sessions, caller: Caller, engine: Engine) -> None:
    """Which spares counting them; the documents that are stored in part are told of, to be left out."""
    home = large(sessions, caller)
    with sessions.begin() as session, scope(session, caller.tenant_id):
        [found] = rankings.homes(session, caller.tenant_id, ["books"])
        assert (found.id, found.hidden, found.indexed) == (home, [], None)
        assert rankings.size(session, caller.tenant_id, home) == 200
    tending.tend(engine, sessions, least=LEAST)
    with sessions.begin() as session:
        part = shelves.document(session, caller.tenant_id, home, chunks=1)
        shelves.document(session, caller.tenant_id, home)
        with scope(session, caller.tenant_id):
            [found] = rankings.homes(session, caller.tenant_id, ["books"])
            assert (found.id, found.hidden, found.indexed) == (home, [part], 200)


def test_only_large_collections_have_an_index(sessions: Sessions, caller: Caller, engine: Engine) -> None:
    """It goes with the collection, and when there are few chunks left."""
    theirs = tables.tenant(sessions, "theirs")
    home, other = large(sessions, caller), large(sessions, theirs)
    large(sessions, tables.tenant(sessions, "third"), LEAST - 1)
    for _ in range(2):
        tending.tend(engine, sessions, least=LEAST)
        assert sorted(made(engine)) == sorted(index.name(one, DIMENSIONS) for one in (home, other))
    with sessions.begin() as session:
        library.delete_collection(session, theirs, "books")
    tending.tend(engine, sessions, least=LEAST)
    assert made(engine) == [index.name(home, DIMENSIONS)]
    tending.tend(engine, sessions, least=201)
    assert made(engine) == []


def test_one_at_a_time_looks_after_indexes(sessions: Sessions, caller: Caller, engine: Engine) -> None:
    """The others go on with their work."""
    home = large(sessions, caller)
    with index.alone(engine) as first:
        assert first is not None
        tending.tend(engine, sessions, least=LEAST)
    assert made(engine) == []
    tending.tend(engine, sessions, least=LEAST)
    assert made(engine) == [index.name(home, DIMENSIONS)]
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW statement_timeout")) == "10s"


def test_index_that_was_cut_off_is_made_anew(sessions: Sessions, caller: Caller, engine: Engine) -> None:
    """An interrupted CREATE INDEX CONCURRENTLY leaves an invalid index of the same name, which nobody counts on."""
    name = index.name(large(sessions, caller), DIMENSIONS)
    tending.tend(engine, sessions, least=LEAST)
    with engine.begin() as connection:
        mark = text("UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(:name)")
        connection.execute(mark, {"name": name})
    with sessions.begin() as session, scope(session, caller.tenant_id):
        [found] = rankings.homes(session, caller.tenant_id, ["books"])
        assert found.indexed is None
    tending.tend(engine, sessions, least=LEAST)
    assert valid(engine, name)


def test_more_dimensions_than_can_be_indexed_are_searched_without(
    sessions: Sessions, caller: Caller, engine: Engine
) -> None:
    """pgvector's index takes 4,000."""
    shelves.filled(sessions, caller, ["fox"] * LEAST, shelves.units(LEAST, 4001))
    tending.tend(engine, sessions, least=LEAST)
    assert made(engine) == []


def test_words_of_large_collections_are_counted(sessions: Sessions, caller: Caller, engine: Engine) -> None:
    """Those that are in many chunks; again when the collection has grown by a quarter."""
    home = large(sessions, caller)

    def counts() -> tuple[int, list[int]]:
        with sessions.begin() as session:
            kept = session.scalars(text("SELECT chunks FROM word_counts")).all()
            with scope(session, caller.tenant_id):
                told = text("SELECT chunks FROM count_words(:home, ARRAY['fox', 'cow'])")
                return len(kept), list(session.scalars(told, {"home": home}))

    assert counts() == (0, [100, 0])
    tending.tend(engine, sessions, least=LEAST)
    assert counts() == (2, [100, 0])
    for more, known in ((50, 100), (1, 151)):
        with sessions.begin() as session:
            document_id = shelves.document(session, caller.tenant_id, home)
            vectors = shelves.units(more, DIMENSIONS)
            shelves.fill(session, caller.tenant_id, home, document_id, ["fox"] * more, vectors)
        tending.tend(engine, sessions, least=LEAST)
        assert counts() == (2, [known, 0])
