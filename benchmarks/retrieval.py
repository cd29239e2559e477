"""How well searches find what answers: `python -m benchmarks.retrieval [--cranfield FOLDER] [--vectors FOLDER]`.

On a public set, where it is there, and on generated ones of four languages, through the code that brings and searches
documents, on PostgreSQL and with the real models; beside textbooks' BM25, the exact cosine, and the fusion of both.
`--vectors` keeps the vectors in a folder from one run to the next.
"""

import hashlib
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from sqlalchemy import text as sql_text

from benchmarks import labelled, rankers, stacks, tables
from benchmarks.labelled import Labelled
from benchmarks.rankers import Bm25
from benchmarks.tables import Table
from db import session as db_session
from db.documents import collections
from db.scope import scope
from db.session import Sessions
from tasks import ids, keys
from tasks.documents import chunking, ingest, ranking, reading
from tasks.documents.chunking import Piece
from tasks.documents.ingest import NewDocument
from tasks.keys import Caller
from tasks.models import catalog
from tasks.models.catalog import Model, Role
from workers.engines import loading
from workers.engines.llamacpp import LlamaCpp

_STEMS = sql_text("SELECT lexeme, cardinality(positions) FROM unnest(to_tsvector('english', :text))")
DEPTH = 50  # passages of a search: of one text there may be several
_TEXTS_OF_A_BATCH = 16
_GRAMS = (2, 3, 4)


@click.command(help=__doc__)
@click.option("--cranfield", type=click.Path(path_type=Path), default=stacks.ROOT.parent / "shared/data/cranfield")
@click.option("--vectors", type=click.Path(path_type=Path), help="A folder to keep vectors in.")
@click.option("--model", "names", multiple=True, help="Of the catalogue; all for embeddings that are there if absent.")
@click.option("--set", "wanted", multiple=True, help="`cranfield` or a language; all if absent.")
def main(cranfield: Path, vectors: Path | None, names: Sequence[str], wanted: Sequence[str]) -> None:
    console = Console(width=max(140, Console().width))
    models = catalog.load(stacks.ROOT / "models" / "catalog.toml")
    able = [model for model in models.values() if model.embeds and not model.missing]
    chosen = [model for model in able if not names or model.name in names]
    sets = [labelled.generated(language) for language in labelled.LANGUAGES if not wanted or language in wanted]
    if cranfield.is_dir() and (not wanted or "cranfield" in wanted):
        sets.insert(0, labelled.cranfield(cranfield))
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as folder, stacks.postgres(Path(folder)) as engine:
        sessions = db_session.open_sessions(engine)
        caller = _tenant(sessions)
        for model in chosen:
            with _reader(model, vectors) as reader:
                for one in sets:
                    tables.show(console, _compared(sessions, caller, reader, one))


class Reader:
    """A model, and the vectors that it has made, which are kept in a file."""

    def __init__(self, model: Model, engine: LlamaCpp, folder: Path | None) -> None:
        self.model, self._engine = model, engine
        self.around = len(engine.tokenize([""])[0])
        self._file = folder / f"{model.name}.npz" if folder else None
        self._known: dict[str, NDArray[np.float32]] = {}
        if self._file and self._file.is_file():
            with np.load(self._file) as kept:
                self._known = dict(zip(kept["keys"].tolist(), kept["vectors"], strict=True))

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(ids) - self.around for ids in self._engine.tokenize(texts)]

    def unread(self, texts: Sequence[str]) -> float:
        """The share of what the model can't read."""
        assert self._engine.unknown is not None
        return reading.unread(texts, self._engine.tokenize(texts), self._engine.unknown, self.around)

    def vectors(self, texts: Sequence[str], role: Role) -> NDArray[np.float32]:
        """One of each, (n, d)."""
        texts = [self.model.prefixes[role] + text for text in texts]
        digests = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
        new = {digest: text for digest, text in zip(digests, texts, strict=True) if digest not in self._known}
        tokens = dict(zip(new, self._engine.tokenize(list(new.values())), strict=True))
        order = sorted(tokens, key=lambda digest: len(tokens[digest]))
        for start in range(0, len(order), _TEXTS_OF_A_BATCH):
            lot = order[start : start + _TEXTS_OF_A_BATCH]
            self._known |= dict(zip(lot, self._engine.embed([tokens[digest] for digest in lot]), strict=True))
        if new:
            self._keep()
        return np.stack([self._known[digest] for digest in digests])

    def _keep(self) -> None:
        if self._file:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(self._file, keys=np.array(list(self._known)), vectors=np.stack(list(self._known.values())))


@contextmanager
def _reader(model: Model, folder: Path | None) -> Iterator[Reader]:
    engine = loading.load(model, slots=model.slots, threads=os.cpu_count() or 1)
    assert isinstance(engine, LlamaCpp)
    try:
        yield Reader(model, engine, folder)
    finally:
        engine.close()


def _compared(sessions: Sessions, caller: Caller, reader: Reader, one: Labelled) -> Table:
    """Ours and what it is held against, on one set."""
    name = f"{reader.model.name}-{one.name.lower()}"
    asked = [question.text for question in one.questions]
    answers = [question.answers for question in one.questions]
    brought = _bring(sessions, caller, reader, one, name)
    vectors = reader.vectors(asked, "query")
    ours = _searched(sessions, caller, reader, name, asked, vectors, brought.numbers)
    cosine = [rankers.nearest(brought.vectors, brought.owners, vector) for vector in vectors]
    words = _by_words(sessions, one)
    best, ranked = max(words.items(), key=lambda named: rankers.measured(named[1], answers).recall_5)
    fused = [rankers.fused(pair) for pair in zip(cosine, ranked, strict=True)]
    rows: dict[str, Sequence[Sequence[int]]] = {"ours": ours, best: ranked, "exact cosine": cosine, "both fused": fused}
    shown = [(what, *rankers.columns(rankers.measured(found, answers))) for what, found in rows.items()]
    halves = [rankers.measured(ours[start::2], answers[start::2]).gain_10 for start in (0, 1)]
    note = (
        f"{len(one.texts)} texts, {len(brought.owners)} chunks, {len(asked)} questions; the model can't read"
        f" {brought.unread:.0%}; ours, nDCG@10 of every other question {halves[0]:.3f}, of the rest {halves[1]:.3f}"
    )
    return Table(f"{one.name}, {reader.model.name}: what is found?", ("", *rankers.COLUMNS.values()), shown, note)


class _Brought:
    """What became of a set's texts: their numbers by document, and of each chunk its vector and its text's number."""

    def __init__(self) -> None:
        self.numbers: dict[object, int] = {}
        self.owners: list[int] = []
        self.vectors: NDArray[np.float32] = np.zeros((0, 0), np.float32)
        self.unread = 0.0


def _bring(sessions: Sessions, caller: Caller, reader: Reader, one: Labelled, name: str) -> _Brought:
    """Brings the texts into a collection of that name as a worker does, document by document."""
    _make(sessions, caller, reader.model, one, name)
    brought, cut = _Brought(), _cut_all(sessions, caller, reader, one, name)
    vectors = reader.vectors([piece.embedded for _, pieces in cut for piece in pieces], "passage")
    brought.vectors = vectors
    brought.unread = reader.unread([piece.text for _, pieces in cut for piece in pieces])
    done = 0
    for number, (document_id, pieces) in enumerate(cut):
        brought.numbers[document_id] = number
        brought.owners += [number] * len(pieces)
        with sessions.begin() as session:
            ingest.fix_dimensions(session, caller.tenant_id, document_id, vectors.shape[1], model=reader.model.name)
        with sessions.begin() as session:
            reading.note(session, caller.tenant_id, document_id, brought.unread, reader.model.name)
            ingest.store(
                session,
                caller.tenant_id,
                document_id,
                pieces,
                vectors[done : done + len(pieces)],
                model=reader.model.name,
            )
        done += len(pieces)
    return brought


def _make(sessions: Sessions, caller: Caller, model: Model, one: Labelled, name: str) -> None:
    about = {"id": ids.new(), "tenant_id": caller.tenant_id, "name": name, "model": model.name}
    with sessions.begin() as session, scope(session, caller.tenant_id):
        collections.add(session, **about, language=one.language)


def _cut_all(
    sessions: Sessions, caller: Caller, reader: Reader, one: Labelled, name: str
) -> list[tuple[uuid.UUID, list[Piece]]]:
    new = [NewDocument(text.text or ".", None, "text", text.title, None, {}) for text in one.texts]
    with sessions.begin() as session, scope(session, caller.tenant_id):
        home = collections.find(session, caller.tenant_id, name)
        assert home is not None
    found = []
    with sessions.begin() as session:
        for document_id in ingest.add(session, caller.tenant_id, home.id, ids.new(), new):
            source = ingest.source(session, caller.tenant_id, document_id)
            assert source is not None
            size = source.tokens - reader.count([reader.model.passage_prefix])[0]
            found.append((document_id, chunking.cut(source.text, reader.count, size, source.overlap, source.about)))
    return found


def _searched(
    sessions: Sessions,
    caller: Caller,
    reader: Reader,
    name: str,
    asked: Sequence[str],
    vectors: NDArray[np.float32],
    numbers: dict[object, int],
) -> list[list[int]]:
    """Each question's texts as searches find them, the best first."""
    found = []
    for query, vector in zip(asked, vectors, strict=True):
        with sessions.begin() as session:
            passages = ranking.search(
                session, caller.tenant_id, name, query, vector, model=reader.model.name, top_k=DEPTH
            )
        found.append(rankers.distinct(numbers[passage.document_id] for passage in passages))
    return found


def _by_words(sessions: Sessions, one: Labelled) -> dict[str, list[list[int]]]:
    """BM25 over whole texts: of English by PostgreSQL's stems, of others by runs of characters of several lengths."""
    cuts: dict[str, Callable[[str], list[str]]]
    if one.language == "english":
        cuts = {"BM25": partial(_stems, sessions)}
    else:
        cuts = {f"BM25, runs of {length}": partial(rankers.grams, length=length) for length in _GRAMS}
    found = {}
    for name, cut in cuts.items():
        index = Bm25([cut(f"{text.title or ''}\n{text.text}") for text in one.texts])
        found[name] = [index.ranked(cut(question.text)) for question in one.questions]
    return found


def _stems(sessions: Sessions, text: str) -> list[str]:
    """The text's words without the usual ones, by their stems, each as often as it is there."""
    with sessions.begin() as session:
        found = session.execute(_STEMS, {"text": text}).all()
    return [stem for stem, repeats in found for _ in range(repeats)]


def _tenant(sessions: Sessions) -> Caller:
    with sessions.begin() as session:
        made = keys.create(session, pepper="x", tenant="ours", name="bench")
        caller = keys.check(session, pepper="x", key=made.key)
    assert caller is not None
    return caller


if __name__ == "__main__":
    main()
