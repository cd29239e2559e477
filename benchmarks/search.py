"""How long a search takes among many chunks, and what it misses: `python -m benchmarks.search --data FOLDER`.

By the code that every search runs, in a PostgreSQL of its own, whose collections of drawn vectors and invented words
are made once and kept in the folder; each belongs to another tenant. Beside it every chunk is looked at, and
qdrant-client's local mode has the same vectors.
"""

import itertools
import os
import random
import string
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from pgvector.psycopg import register_vector
from qdrant_client import QdrantClient
from qdrant_client import models as qdrant
from rich.console import Console
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from benchmarks import stacks, tables
from benchmarks.tables import Table, median, percentile
from db import session as db_session
from db.documents import collections, rankings, words
from db.documents.chunks import Key
from db.documents.rankings import Reach
from db.scope import scope
from db.session import Sessions
from tasks import ids, keys
from tasks.documents import filters, ranking, tending

DIMENSIONS = 384
CHUNKS_A_DOCUMENT = 20
CHUNK_WORDS = 90
QUERY_WORDS = 8
TOP_K = 10
DEPTH = 50
PARTS = 100  # a document is of one of so many, which a filter chooses
NAME, MODEL = "bench", "random"
_LOT = 2_000
_ONE_OF_A_HUNDRED = filters.parse({"part": 7})
_TOPICS = np.random.default_rng(0).standard_normal((500, DIMENSIONS))
_STOP_WORDS = ("the", "of", "and", "to", "in", "is", "that", "it", "was", "for")

Vectors = NDArray[np.float32]
Query = tuple[str, Vectors]


@click.command(help=__doc__)
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Where the collections are kept.")
@click.option("--chunks", "counts", multiple=True, type=int, default=(10_000, 100_000), show_default=True)
@click.option("--queries", default=200, show_default=True)
@click.option("--clients", default=10, show_default=True, help="That search at once.")
@click.option("--qdrant/--no-qdrant", "beside", default=True, help="Beside qdrant-client's local mode.")
def main(data: Path, counts: Sequence[int], queries: int, clients: int, beside: bool) -> None:
    console = Console(width=max(140, Console().width))
    console.print(f"{os.cpu_count()} cores; load before: {os.getloadavg()[0]:.1f} over the last minute")
    data.mkdir(parents=True, exist_ok=True)
    with stacks.postgres(data) as one:
        engine = db_session.open_engine(str(one.url), pool_size=clients + 2, statement_timeout_s=1800)
        sessions = db_session.open_sessions(engine)
        for count in counts:
            tenant_id = _tenant(sessions, count) or _made(console, engine, sessions, count)
            tables.show(console, _searched(sessions, tenant_id, count, queries, clients, beside=beside))
        engine.dispose()
    console.print(f"load after: {os.getloadavg()[0]:.1f}")


class Words:
    """Texts as common as English: every other word is one that a search leaves out, the others are invented."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        draw = random.Random(0)
        self._words = ["".join(draw.choices(string.ascii_lowercase, k=draw.randint(4, 9))) for _ in range(20_000)]
        # Zipf's law as Mandelbrot mended it: the commonest is in one text of seven.
        self._weights = list(itertools.accumulate(1 / (place + 50) for place in range(len(self._words))))

    def text(self, words: int) -> str:
        meant = self._random.choices(self._words, cum_weights=self._weights, k=words // 2)
        return " ".join(word for pair in zip(itertools.cycle(_STOP_WORDS), meant) for word in pair)


def _searched(
    sessions: Sessions, tenant_id: uuid.UUID, count: int, queries: int, clients: int, *, beside: bool
) -> Table:
    draw, said = np.random.default_rng(count + 1), Words(seed=2)
    asked = [(said.text(QUERY_WORDS), _units(1, draw)[0]) for _ in range(queries)]
    some = asked[: max(10, queries // 5)]  # to look at every chunk takes long

    def hybrid(query: Query) -> list[Key]:
        return _search(sessions, tenant_id, query, None)

    def filtered(query: Query) -> list[Key]:
        return _search(sessions, tenant_id, query, _ONE_OF_A_HUNDRED)

    def exact(query: Query) -> list[Key]:
        with sessions.begin() as session, scope(session, tenant_id):
            return _exact(session, tenant_id, query)

    def exact_filtered(query: Query) -> list[Key]:
        with sessions.begin() as session, scope(session, tenant_id):
            return _exact(session, tenant_id, query, "SELECT id FROM documents WHERE metadata = '{\"part\": 7}'")

    true, true_filtered = [exact(query) for query in some], [exact_filtered(query) for query in some]
    rows = [
        ("search, by meaning and words", *_timed(hybrid, asked), _recall(hybrid, some, true)),
        ("with a filter for 1 %", *_timed(filtered, asked), _recall(filtered, some, true_filtered)),
        (f"{clients} clients at once", *_at_once(hybrid, asked, clients), None),
        ("every chunk looked at", *_timed(exact, some), 1.0),
    ]
    if beside:
        rows.append(("qdrant-client's local mode, by meaning", *_qdrant(count, some), 1.0))
    note = f"{queries} queries of {QUERY_WORDS // 2} words and {DIMENSIONS} dimensions; recall of the best {TOP_K}"
    return Table(f"How long does a search among {count:,} chunks take, ms?", ("", "p50", "p95", "recall"), rows, note)


def _search(sessions: Sessions, tenant_id: uuid.UUID, query: Query, only: filters.Filter | None) -> list[Key]:
    with sessions.begin() as session:
        found = ranking.search(session, tenant_id, NAME, *query, model=MODEL, top_k=TOP_K, filter=only)
    return [passage.key for passage in found]


def _exact(session: Session, tenant_id: uuid.UUID, query: Query, only: str | None = None) -> list[Key]:
    """The same two rankings without any index of ours."""
    home = collections.find(session, tenant_id, NAME)
    assert home is not None
    total = rankings.size(session, tenant_id, home.id)
    asked = words.asked(session, home.id, query[0], config="english", chunks=total)
    among = None if only is None else session.scalars(text(only)).all()
    what = (session, Reach(tenant_id, home.id, (), among), query[1], asked)
    session.execute(text("SET LOCAL enable_indexscan = off"))
    both = rankings.ranked(*what, ("vectors", "all words"), depth=DEPTH)
    session.execute(text("SET LOCAL enable_indexscan = on"))
    return [scored.key for scored in ranking.fuse(both, asked.best)[:TOP_K]]


def _qdrant(count: int, asked: Sequence[Query]) -> tuple[float, float]:
    client = QdrantClient(":memory:")
    client.create_collection(NAME, qdrant.VectorParams(size=DIMENSIONS, distance=qdrant.Distance.COSINE))
    draw = np.random.default_rng(count)
    for first in range(0, count, _LOT):
        client.upload_collection(
            NAME, _units(min(_LOT, count - first), draw), ids=range(first, min(count, first + _LOT))
        )
    return _timed(lambda query: client.query_points(NAME, query[1], limit=TOP_K), asked)


def _made(console: Console, engine: Engine, sessions: Sessions, count: int) -> uuid.UUID:
    """Makes the collection of so many chunks: in one copy, its indexes afterwards."""
    began = time.perf_counter()
    with sessions.begin() as session:
        keys.create(session, pepper="x", tenant=_named(count), name="bench")
    tenant_id = _tenant(sessions, count)
    assert tenant_id is not None
    home = ids.new()
    with sessions.begin() as session, scope(session, tenant_id):
        about = {"name": NAME, "model": MODEL, "dimensions": DIMENSIONS}
        collections.add(session, id=home, tenant_id=tenant_id, **about)
    with engine.connect() as connection:
        session = Session(connection)
        _fill(session, tenant_id, home, count)
        session.commit()
    copied_s = time.perf_counter() - began
    tending.tend(engine, sessions)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM (ANALYZE) chunks, documents, word_counts"))
    whole_s = time.perf_counter() - began
    console.print(f"{count:,} chunks: {copied_s:.0f} s to copy, {whole_s:.0f} s with the index of their vectors")
    return tenant_id


def _fill(session: Session, tenant_id: uuid.UUID, home: uuid.UUID, count: int) -> None:
    """As a superuser, past row-level security, and with the index of words made anew behind it."""
    documents = [ids.new() for _ in range(-(-count // CHUNKS_A_DOCUMENT))]
    session.execute(_DOCUMENTS, {"tenant": tenant_id, "home": home, "ids": documents, "each": CHUNKS_A_DOCUMENT})
    session.execute(text("DROP INDEX chunks_terms"))
    session.execute(text("CREATE TEMPORARY TABLE come (document_id uuid, number int, text text, embedding vector)"))
    driver = session.connection().connection.driver_connection
    assert driver is not None
    register_vector(driver)
    with driver.cursor().copy("COPY come FROM STDIN WITH (FORMAT BINARY)") as copy:
        copy.set_types(["uuid", "int4", "text", "vector"])
        for row in _rows(documents, count):
            copy.write_row(row)
    session.execute(_CHUNKS, {"tenant": tenant_id, "home": home})
    session.execute(text("SET LOCAL maintenance_work_mem = '1GB'"))
    session.execute(text("CREATE INDEX chunks_terms ON chunks USING gin (terms) WITH (fastupdate = off)"))


def _rows(documents: Sequence[uuid.UUID], count: int) -> Iterator[tuple[uuid.UUID, int, str, Vectors]]:
    said, draw = Words(seed=1), np.random.default_rng(count)
    for first in range(0, count, _LOT):
        vectors = _units(min(_LOT, count - first), draw)
        for number, vector in enumerate(vectors, first):
            place, within = divmod(number, CHUNKS_A_DOCUMENT)
            yield documents[place], within, said.text(CHUNK_WORDS), vector


_DOCUMENTS = text(
    f"""
    INSERT INTO documents (id, tenant_id, collection_id, job_id, kind, bytes, status, chunks, tokens, metadata)
    SELECT id, :tenant, :home, id, 'text', 1, 'ready', :each, 100 * :each,
           jsonb_build_object('part', number % {PARTS})
    FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS given (id, number)
    """
)
_CHUNKS = text(
    """
    INSERT INTO chunks (document_id, number, tenant_id, collection_id, text, tokens, embedding, terms, words)
    SELECT document_id, number, :tenant, :home, text, 100, embedding, chunk_terms(:home, lexemes),
           chunk_words(:home, lexemes, 1)
    FROM come, to_tsvector('english', text) AS lexemes
    """
)


def _tenant(sessions: Sessions, count: int) -> uuid.UUID | None:
    with sessions.begin() as session:
        return session.scalar(text("SELECT id FROM tenants WHERE name = :name"), {"name": _named(count)})


def _named(count: int) -> str:
    return f"{count} chunks"


def _units(count: int, draw: np.random.Generator) -> Vectors:
    """Vectors of length 1 about five hundred directions, as texts are about topics."""
    drawn = _TOPICS[draw.integers(len(_TOPICS), size=count)] + 0.8 * draw.standard_normal((count, DIMENSIONS))
    units: Vectors = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return units


def _timed(search: Callable[[Query], object], asked: Sequence[Query]) -> tuple[float, float]:
    """Median and 95th percentile of the milliseconds, the first few left out: PostgreSQL's caches fill meanwhile."""
    for query in asked[:5]:
        search(query)
    took = [_milliseconds(search, query) for query in asked]
    return median(took), percentile(took, 95)


def _at_once(search: Callable[[Query], object], asked: Sequence[Query], clients: int) -> tuple[float, float]:
    with ThreadPoolExecutor(clients) as pool:
        took = list(pool.map(lambda query: _milliseconds(search, query), asked))
    return median(took), percentile(took, 95)


def _milliseconds(search: Callable[[Query], object], query: Query) -> float:
    began = time.perf_counter()
    search(query)
    return 1000 * (time.perf_counter() - began)


def _recall(search: Callable[[Query], list[Key]], asked: Sequence[Query], true: Sequence[Sequence[Key]]) -> float:
    shares = [len({*search(query)} & {*best}) / len(best) for query, best in zip(asked, true, strict=True) if best]
    return sum(shares) / len(shares)


if __name__ == "__main__":
    main()
