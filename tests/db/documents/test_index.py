"""The index behind the ranking of chunks by meaning: made once, and what is found with it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text

from db import session as db_session
from db.documents import chunks, index
from db.scope import scope
from db.session import Sessions
from tasks.keys import Caller
from tests import shelves, tables

DIMENSIONS = 16


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    """An engine, and no index over vectors of `DIMENSIONS` before or afterwards."""
    engine = db_session.open_engine(postgres_url, pool_size=4)
    drop = text(f"DROP INDEX IF EXISTS {index.name(DIMENSIONS)}")
    for _ in range(2):
        with engine.begin() as connection:
            connection.execute(drop)
        if _ == 0:
            yield engine
    engine.dispose()


def valid(engine: Engine) -> bool | None:
    query = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
    with engine.connect() as connection:
        return connection.scalar(query, {"name": index.name(DIMENSIONS)})


def test_walking_the_index_finds_what_looking_at_every_chunk_finds(
    sessions: Sessions, caller: Caller, engine: Engine
) -> None:
    """Beside another tenant's chunks, and none of those; what is compared is the indexed expression itself."""
    assert index.ensure(engine, DIMENSIONS)
    vectors = shelves.units(400, DIMENSIONS)
    home = shelves.filled(sessions, caller, ["x"] * 200, vectors[:200])
    shelves.filled(sessions, tables.tenant(sessions, "theirs"), ["x"] * 200, vectors[200:])
    asked = shelves.units(1, DIMENSIONS, seed=1)[0]
    where = (caller.tenant_id, home, asked)
    with sessions.begin() as session:
        for way in ("seqscan", "sort"):  # so few chunks the planner would rather read
            session.execute(text(f"SET LOCAL enable_{way} = off"))
        with scope(session, caller.tenant_id):
            walked = chunks.walk(session, *where, dimensions=DIMENSIONS, depth=20)
            assert walked == chunks.nearest(session, *where, depth=20)
        scans = text("SELECT pg_stat_get_xact_numscans(to_regclass(:name)::oid)")
        assert session.scalar(scans, {"name": index.name(DIMENSIONS)}) == 1


def test_index_is_made_once_though_several_make_it(engine: Engine) -> None:
    """Workers that start together don't hinder each other, and nothing of it sticks to their pool."""
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda _: index.ensure(engine, DIMENSIONS), range(3))) == [True] * 3
    assert valid(engine)
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW statement_timeout")) == "10s"


def test_index_that_was_cut_off_is_made_anew(engine: Engine) -> None:
    """An interrupted CREATE INDEX CONCURRENTLY leaves an invalid index of the same name."""
    index.ensure(engine, DIMENSIONS)
    with engine.begin() as connection:
        mark = text("UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(:name)")
        connection.execute(mark, {"name": index.name(DIMENSIONS)})
    assert index.ensure(engine, DIMENSIONS)
    assert valid(engine)


def test_more_dimensions_than_can_be_indexed_are_searched_without(engine: Engine) -> None:
    """pgvector's index takes 2,000."""
    assert not index.ensure(engine, 2001)
