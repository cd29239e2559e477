"""How long a search takes among ten thousand chunks: `python -m benchmarks.search [--url URL --key KEY]`.

In PostgreSQL alone, by the code that every search runs, with drawn vectors and invented words; ten other tenants have
as many chunks together. With `--url` also over HTTP, where the collection is first brought in: that needs a running
platform with an embedding model.
"""

import itertools
import os
import random
import string
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click
import httpx
import numpy as np
import psutil
from numpy.typing import NDArray
from rich.console import Console
from sqlalchemy import text
from sqlalchemy.orm import Session

from benchmarks import stacks, tables
from benchmarks.tables import Table, median, percentile
from db import session as db_session
from db.documents import chunks, collections
from db.scope import scope
from db.session import Sessions
from tasks import ids, keys
from tasks.documents import homes, ingest, ranking
from tasks.documents.chunking import Piece
from tasks.documents.homes import Shape
from tasks.documents.ingest import NewDocument
from tasks.keys import Caller
from tasks.models.catalog import Model

DIMENSIONS = 384
CHUNKS_A_DOCUMENT = 20
CHUNK_WORDS = 90
QUERY_WORDS = 8
TENANTS = 10
DEPTH = 50
_TOPICS = np.random.default_rng(0).standard_normal((500, DIMENSIONS))
_STOP_WORDS = ("the", "of", "and", "to", "in", "is", "that", "it", "was", "for")
MODELS = {"random": Model("random", "echo", context=512, slots=1, types=("embed",))}


@click.command(help=__doc__)
@click.option("--chunks", "count", default=10_000, show_default=True, help="Of our collection, and of the others.")
@click.option("--queries", default=300, show_default=True)
@click.option("--url", help="A running platform to ask over HTTP too.")
@click.option("--key", help="A key for it.")
def main(count: int, queries: int, url: str | None, key: str | None) -> None:
    console = Console(width=max(140, Console().width))
    console.print(f"{os.cpu_count()} cores; load before: {os.getloadavg()[0]:.1f} over the last minute")
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as folder, stacks.postgres(Path(folder)) as engine:
        for table in _in_postgres(db_session.open_sessions(engine), count, queries):
            tables.show(console, table)
    if url and key:
        tables.show(console, _over_http(url, key, count, queries))
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


def _in_postgres(sessions: Sessions, count: int, queries: int) -> Iterator[Table]:
    words, draw = Words(seed=1), np.random.default_rng(1)
    ours = _tenant(sessions, "ours")
    stored_s = _fill(sessions, ours, "large", count, words, draw)
    _fill(sessions, ours, "small", count // 10, words, draw)
    for number in range(TENANTS):
        _fill(sessions, _tenant(sessions, f"other {number}"), "theirs", count // TENANTS, words, draw)
    with sessions.begin() as session:
        session.execute(text("ANALYZE chunks"))
    asked = [(words.text(QUERY_WORDS), _units(1, draw)[0]) for _ in range(queries)]
    parts = {
        "the whole search": lambda name, query, vector: _search(sessions, ours, name, query, vector),
        "nearest, by every chunk": lambda name, _, vector: _nearest(sessions, ours, name, vector),
        "nearest, through the index": lambda name, _, vector: _walk(sessions, ours, name, vector),
        "words, by every chunk": lambda name, query, vector: _worded(sessions, ours, name, query, vector),
    }
    with sessions.begin() as session:
        backend = psutil.Process(session.scalar(text("SELECT pg_backend_pid()")))
    rows = []
    for name, what in itertools.product(("large", "small"), parts):
        before = _cpu_ms(backend)
        took = [_timed(parts[what], name, query, vector) for query, vector in asked]
        rows.append((f"{name}, {what}", *_spread(took), (_cpu_ms(backend) - before) / queries))
    note = (
        f"large: {count} chunks, small: {count // 10}, beside {count} of {TENANTS} other tenants; {queries} queries"
        f" each; {stored_s * 1000 / count:.1f} ms to store a chunk"
    )
    yield Table(
        "How long does a search take in PostgreSQL, ms?", ("", "p50", "p90", "p99", "CPU of PostgreSQL"), rows, note
    )
    found = [_recall(sessions, ours, vector) for _, vector in asked[:100]]
    columns = ("of the nearest 50, found through the index", "least")
    note = f"a search uses it beyond {ranking.FEW_CHUNKS} chunks"
    yield Table("What does the index miss?", columns, [(sum(found) / len(found), min(found))], note)


def _search(sessions: Sessions, caller: Caller, name: str, query: str, vector: NDArray[np.float32]) -> None:
    with sessions.begin() as session:
        found = ranking.search(session, caller.tenant_id, name, query, vector, model="random", top_k=10)
    assert len(found) == 10


def _nearest(sessions: Sessions, caller: Caller, name: str, vector: NDArray[np.float32]) -> list[chunks.Hit]:
    with sessions.begin() as session, scope(session, caller.tenant_id):
        home = _home(session, caller, name)
        return chunks.nearest(session, caller.tenant_id, home, vector, depth=DEPTH)


def _walk(sessions: Sessions, caller: Caller, name: str, vector: NDArray[np.float32]) -> list[chunks.Hit]:
    with sessions.begin() as session, scope(session, caller.tenant_id):
        home = _home(session, caller, name)
        return chunks.walk(session, caller.tenant_id, home, vector, dimensions=DIMENSIONS, depth=DEPTH)


def _worded(sessions: Sessions, caller: Caller, name: str, query: str, vector: NDArray[np.float32]) -> None:
    with sessions.begin() as session, scope(session, caller.tenant_id):
        home = _home(session, caller, name)
        chunks.worded(session, caller.tenant_id, home, query, vector, depth=DEPTH)


def _home(session: db_session.Session, caller: Caller, name: str) -> uuid.UUID:
    home = collections.find(session, caller.tenant_id, name)
    assert home is not None
    return home.id


def _recall(sessions: Sessions, caller: Caller, vector: NDArray[np.float32]) -> float:
    true = _nearest(sessions, caller, "large", vector)
    return len({*true} & {*_walk(sessions, caller, "large", vector)}) / len(true)


def _fill(sessions: Sessions, caller: Caller, name: str, count: int, words: Words, draw: np.random.Generator) -> float:
    """Brings so many chunks into a collection as a worker does, document by document; the seconds that took."""
    took_s = 0.0
    for _ in range(count // CHUNKS_A_DOCUMENT):
        pieces = [Piece(words.text(CHUNK_WORDS), 128) for _ in range(CHUNKS_A_DOCUMENT)]
        vectors = _units(CHUNKS_A_DOCUMENT, draw)
        new = NewDocument("x", None, "text", None, None, {})
        with sessions.begin() as session:
            job_id = _brought(session, caller, name, new)
            [waiting] = ingest.work(session, caller.tenant_id, job_id).waiting
            ingest.fix_dimensions(session, caller.tenant_id, waiting.id, DIMENSIONS, model="random")
        began = time.perf_counter()
        with sessions.begin() as session:
            ingest.store(session, caller.tenant_id, waiting.id, pieces, vectors, model="random")
        took_s += time.perf_counter() - began
    return took_s


def _brought(session: Session, caller: Caller, name: str, new: NewDocument) -> uuid.UUID:
    """The id of a job that would ingest the document."""
    home, _ = homes.home(session, MODELS, caller.tenant_id, name, Shape())
    job_id = ids.new()
    ingest.add(session, caller.tenant_id, home, job_id, [new])
    return job_id


def _units(count: int, draw: np.random.Generator) -> NDArray[np.float32]:
    """Vectors of length 1 about five hundred directions, as texts are about topics."""
    drawn = _TOPICS[draw.integers(len(_TOPICS), size=count)] + 0.8 * draw.standard_normal((count, DIMENSIONS))
    units: NDArray[np.float32] = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return units


def _tenant(sessions: Sessions, name: str) -> Caller:
    with sessions.begin() as session:
        made = keys.create(session, pepper="x", tenant=name, name="bench")
        caller = keys.check(session, pepper="x", key=made.key)
    assert caller is not None
    return caller


def _over_http(url: str, key: str, count: int, queries: int) -> Table:
    """`POST /v1/search`, one at a time, the embedding of the query included."""
    words = Words(seed=2)
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
        _bring(client, count, words)
        asked = [{"collection": _COLLECTION, "query": words.text(QUERY_WORDS)} for _ in range(queries)]
        took = [
            _timed(lambda given: client.post("/v1/search", json=given).raise_for_status(), given) for given in asked
        ]
    note = f"{count} chunks; {queries} queries, one at a time"
    return Table(
        "How long does a search take over HTTP, ms?", ("", "p50", "p90", "p99"), [("search", *_spread(took))], note
    )


_COLLECTION = "bench-search"


def _bring(client: httpx.Client, count: int, words: Words) -> None:
    """Sees to it that the collection has so many chunks: short texts, one chunk each."""
    shown = client.get(f"/v1/collections/{_COLLECTION}")
    has = shown.json()["chunks"] if shown.status_code == 200 else 0
    jobs = []
    for _ in range(0, count - has, 100):
        given = [{"text": words.text(30)} for _ in range(100)]
        made = client.post("/v1/documents", json={"collection": _COLLECTION, "documents": given}).raise_for_status()
        jobs.append(made.json()["links"]["self"])
    for job in jobs:
        while client.get(job, params={"wait": 50}).raise_for_status().json()["finished_at"] is None:
            pass


def _timed(part: Callable[..., object], *given: object) -> float:
    """The milliseconds it takes."""
    began = time.perf_counter()
    part(*given)
    return 1000 * (time.perf_counter() - began)


def _cpu_ms(process: psutil.Process) -> float:
    times = process.cpu_times()
    return 1000 * (times.user + times.system)


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return median(values), percentile(values, 90), percentile(values, 99)


if __name__ == "__main__":
    main()
