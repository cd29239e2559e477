"""Rankings of chunks, and the index behind one of them."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, text

from db import chunks
from db import session as db_session
from db.scope import scope
from db.session import Sessions
from tasks.keys import Caller
from tests import shelves, tables

DIMENSIONS = 16


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    """An engine, and no index over vectors of `DIMENSIONS` before or afterwards."""
    engine = db_session.open_engine(postgres_url, pool_size=4)
    drop = text(f"DROP INDEX IF EXISTS {chunks.index_name(DIMENSIONS)}")
    for _ in range(2):
        with engine.begin() as connection:
            connection.execute(drop)
        if _ == 0:
            yield engine
    engine.dispose()


def shelf(sessions: Sessions, caller: Caller, texts: list[str], vectors: Any, **labels: Any) -> uuid.UUID:
    """A collection with one document of these chunks."""
    with sessions.begin() as session:
        home = shelves.collection(session, caller.tenant_id, dimensions=vectors.shape[1])
        document_id = shelves.document(session, caller.tenant_id, home, labels=labels)
        shelves.fill(session, caller.tenant_id, home, document_id, texts, vectors)
    return home


def numbers(hits: list[chunks.Hit]) -> list[int]:
    return [hit.key[1] for hit in hits]


def valid(engine: Engine) -> bool | None:
    query = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
    with engine.connect() as connection:
        return connection.scalar(query, {"name": chunks.index_name(DIMENSIONS)})


def test_nearest_ranks_by_cosine_similarity(sessions: Sessions, caller: Caller) -> None:
    """The most similar first, with the cosine of the angle; a vector without a direction is similar to nothing."""
    vectors = np.array([[0, 1], [1, 0], [0.6, 0.8], [-1, 0], [0, 0]], dtype=np.float32)
    home = shelf(sessions, caller, list("abcde"), vectors)
    with sessions.begin() as session, scope(session, caller.tenant_id):
        hits = chunks.nearest(session, caller.tenant_id, home, vectors[1], depth=10)
    assert numbers(hits) == [1, 2, 0, 3, 4]
    assert [hit.similarity for hit in hits] == pytest.approx([1, 0.6, 0, -1, 0])


def test_worded_ranks_by_the_words_in_common(sessions: Sessions, caller: Caller) -> None:
    """Any word of the question counts, in whatever form; more of them count more."""
    texts = ["The harbour is closed.", "Closing harbours costs money.", "Nobody knows."]
    home = shelf(sessions, caller, texts, shelves.units(3, 2))
    with sessions.begin() as session, scope(session, caller.tenant_id):
        hits = chunks.worded(
            session, caller.tenant_id, home, "What does it cost to close a harbour?", shelves.units(1, 2)[0], depth=10
        )
    assert numbers(hits) == [1, 0]


@pytest.mark.parametrize(
    "query", ["", "the of and", "   ", "?!", "'", "\\", "'\\' | !! & (", ":*", "a:b\\:'c' <-> d", "x" * 5000]
)
def test_question_of_nothing_but_signs_finds_no_words(sessions: Sessions, caller: Caller, query: str) -> None:
    """What looks like PostgreSQL's own syntax is text like any other."""
    home = shelf(sessions, caller, ["one"], shelves.units(1, 2))
    with sessions.begin() as session, scope(session, caller.tenant_id):
        assert chunks.worded(session, caller.tenant_id, home, query, shelves.units(1, 2)[0], depth=10) == []


def test_words_with_signs_in_them_are_found(sessions: Sessions, caller: Caller) -> None:
    """Addresses and paths are lexemes with slashes and backslashes, quoted on their way."""
    home = shelf(sessions, caller, [r"see C:\temp\new and o'neill at x.org/a&b|c?d='e'"], shelves.units(1, 2))
    with sessions.begin() as session, scope(session, caller.tenant_id):
        for query in (r"C:\temp\new", "o'neill", "x.org/a&b|c?d='e'"):
            hits = chunks.worded(session, caller.tenant_id, home, query, shelves.units(1, 2)[0], depth=10)
            assert numbers(hits) == [0], query


def test_labels_narrow_both_rankings(sessions: Sessions, caller: Caller) -> None:
    """Numbers match by value, kinds don't mix."""
    home = shelf(sessions, caller, ["one"], shelves.units(1, 2), year=2020, draft=True, by="Anna")
    vector = shelves.units(1, 2)[0]
    matching = [{"year": 2020}, {"year": 2020.0}, {"by": "Anna", "draft": True}]
    for labels in [*matching, {"year": "2020"}, {"draft": 1}, {"by": "anna"}, {"by": "Anna", "year": 1}, {"x": 1}]:
        with sessions.begin() as session, scope(session, caller.tenant_id):
            near = chunks.nearest(session, caller.tenant_id, home, vector, depth=5, labels=labels)
            worded = chunks.worded(session, caller.tenant_id, home, "one", vector, depth=5, labels=labels)
        assert len(near) == len(worded) == (labels in matching), labels


def test_walking_the_index_finds_what_looking_at_every_chunk_finds(
    sessions: Sessions, caller: Caller, engine: Engine
) -> None:
    """Beside another tenant's chunks, and none of those; what is compared is the indexed expression itself."""
    assert chunks.ensure_index(engine, DIMENSIONS)
    vectors = shelves.units(400, DIMENSIONS)
    home = shelf(sessions, caller, ["x"] * 200, vectors[:200])
    shelf(sessions, tables.tenant(sessions, "theirs"), ["x"] * 200, vectors[200:])
    asked = shelves.units(1, DIMENSIONS, seed=1)[0]
    where = (caller.tenant_id, home, asked)
    with sessions.begin() as session:
        for way in ("seqscan", "sort"):  # so few chunks the planner would rather read
            session.execute(text(f"SET LOCAL enable_{way} = off"))
        with scope(session, caller.tenant_id):
            walked = chunks.walk(session, *where, dimensions=DIMENSIONS, depth=20)
            assert walked == chunks.nearest(session, *where, depth=20)
        scans = text("SELECT pg_stat_get_xact_numscans(to_regclass(:name)::oid)")
        assert session.scalar(scans, {"name": chunks.index_name(DIMENSIONS)}) == 1


def test_index_is_made_once_though_several_make_it(engine: Engine) -> None:
    """Workers that start together don't hinder each other, and nothing of it sticks to their pool."""
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda _: chunks.ensure_index(engine, DIMENSIONS), range(3))) == [True] * 3
    assert valid(engine)
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW statement_timeout")) == "10s"


def test_index_that_was_cut_off_is_made_anew(engine: Engine) -> None:
    """An interrupted CREATE INDEX CONCURRENTLY leaves an invalid index of the same name."""
    chunks.ensure_index(engine, DIMENSIONS)
    with engine.begin() as connection:
        mark = text("UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(:name)")
        connection.execute(mark, {"name": chunks.index_name(DIMENSIONS)})
    assert chunks.ensure_index(engine, DIMENSIONS)
    assert valid(engine)


def test_more_dimensions_than_can_be_indexed_are_searched_without(engine: Engine) -> None:
    """pgvector's index takes 2,000."""
    assert not chunks.ensure_index(engine, 2001)
