"""Texts cut into chunks by child processes: this one only counts tokens, and holds up none of its threads for long."""

import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from tasks import errors
from tasks.documents.chunking import About, Piece
from tasks.documents.costs import Count
from tasks.documents.marks import Marks
from workers.attempt import Attempt
from workers.engines.hosting import Host
from workers.turns import Turns

log = structlog.get_logger(__name__)

CHILDREN = 2

_MODULE = "workers.cutting.child"
_LOAD_S = 30.0
_LIMIT_S = 120.0  # of computing between two exchanges
_DEATHS_ALLOWED = 2  # the first may have come from outside
_KEPT_CHARACTERS = 16_000_000
_NOTHING = About()


@dataclass(frozen=True, slots=True)
class _Cut:
    """A text that is being cut, as its attempt holds it."""

    child: Host

    def cancel(self) -> None:
        self.child.kill()

    def close(self) -> None:
        """The child goes on with the next text."""


class Cutter:
    """Cuts one text in each child at a time, in turn between tenants. Children start when they are needed. Thread-safe.

    `keep` and `taken` spare a job that gave its slot back the cutting of its document for a second time.
    """

    def __init__(self) -> None:
        self._turns = Turns(CHILDREN)
        self._lock = threading.Lock()
        self._idle: list[Host] = []
        self._kept: OrderedDict[uuid.UUID, list[Piece]] = OrderedDict()
        self._closed = False

    def cut(
        self,
        attempt: Attempt,
        text: str,
        count: Count,
        size: int,
        overlap: int,
        check: Callable[[], None],
        about: About = _NOTHING,
        learn: Callable[[Marks], None] = lambda _: None,
    ) -> list[Piece]:
        """See `chunking.cut`; `check` is asked while it waits for its turn. A stop of the attempt ends it at once.

        `learn` is told the marks of a text that came without any, as far as they show.

        Raises `Cancelled` and what `count` and `check` raise; `UnreadableDocument` for a text that can't be cut, and
        `Poison` for one that two children died of.
        """
        question = {"text": text, "size": size, "overlap": overlap, "title": about.title, "kind": about.kind}
        question["marks"] = about.marks.to_json()
        with self._turns.taken(attempt.claim.tenant_id, attempt.claim.job_id, check):
            for _ in range(_DEATHS_ALLOWED):
                try:
                    with self._child() as child:
                        told = _conversed(attempt, child, question, count)
                except _ChildLost:
                    attempt.check()
                else:
                    if told["marks"] != question["marks"]:
                        learn(Marks.from_json(told["marks"]))
                    return [_piece(*fields) for fields in told["pieces"]]
        raise errors.Poison("what cuts texts into chunks died of this one, or took too long, twice")

    def keep(self, document_id: uuid.UUID, pieces: list[Piece]) -> None:
        """Holds a document's pieces until they are `taken`, or too much else is kept."""
        with self._lock:
            self._kept[document_id] = pieces
            while sum(len(piece.text) for kept in self._kept.values() for piece in kept) > _KEPT_CHARACTERS:
                self._kept.popitem(last=False)

    def taken(self, document_id: uuid.UUID) -> list[Piece] | None:
        """What was kept of the document, once; None where nothing is."""
        with self._lock:
            return self._kept.pop(document_id, None)

    def close(self) -> None:
        """Ends the children; those at work end with the texts that they cut. Idempotent."""
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
        for child in idle:
            child.close()

    @contextmanager
    def _child(self) -> Iterator[Host]:
        """A child of one's own. Whatever goes wrong with it, the next text gets another."""
        with self._lock:
            child = self._idle.pop() if self._idle else None
        if child is None:
            child = _started()
        done = False
        try:
            yield child
            done = True
        finally:
            with self._lock:
                again = done and not self._closed
                if again:
                    self._idle.append(child)
            if not again:
                child.close()


class _ChildLost(Exception):
    """The child died, or was ended."""


def _started() -> Host:
    """Raises `EngineError` when there is no room for a child, as there may be later."""
    child = Host(_MODULE, {}, _LOAD_S)
    try:
        child.start()
    except errors.EngineUnusable as error:
        raise errors.EngineError(f"what cuts texts can't be started: {error}") from error
    if gaps := child.ready["unwalled"]:
        log.warning("not_walled", module=_MODULE, reasons=gaps)
    return child


def _conversed(attempt: Attempt, child: Host, question: Mapping[str, Any], count: Count) -> dict[str, Any]:
    """What the child answers in the end, its own questions answered meanwhile."""
    attempt.hold(_Cut(child))
    try:
        told = _asked(child, question)
        while "count" in told:
            attempt.check()
            told = _asked(child, {"counts": count(told["count"])})
    finally:
        attempt.release()
    if "refused" in told:
        raise errors.UnreadableDocument(f"it can't be cut into chunks: {told['refused']}")
    return told


def _piece(text: str, tokens: int, begins: int, ends: int, page: int | None, path: list[str], *told: Any) -> Piece:
    """A piece as the child tells it, fields in their order."""
    return Piece(text, tokens, begins, ends, page, tuple(path), *told)


def _asked(child: Host, question: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return child.ask(question, _LIMIT_S)
    except errors.EngineLost as error:
        raise _ChildLost from error
