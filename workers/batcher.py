"""The batcher: texts of all jobs that run on an embedding model, embedded together, a few at a time."""

import collections
import itertools
import math
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import structlog
from numpy.typing import NDArray

from tasks import errors, telemetry
from tasks.models.catalog import Role
from tasks.models.engine import Embedder, Pair, Reranker
from tasks.telemetry import EngineLost
from workers.quarantine import Quarantine, Run

log = structlog.get_logger(__name__)

Tokens = tuple[int, ...]
Read = Tokens | Pair  # a text, of an embedder; of a reranker a query with a document
Check = Callable[[], None]

TEXTS_OF_A_BATCH = 16  # more gain nothing, and every job waits for the batch it is in
BATCHES_IN_FLIGHT = 2  # one is computed while the next is on its way
_CHECK_S = 0.2
_LOSSES_ALONE_ALLOWED = 2
# While somebody asks, and for so long after, other texts are computed a few at a time, one batch after the other: that
# is how long a query waits at most. A text of a document's has some 128 tokens.
_ASKED_S = 10.0
_TOKENS_BETWEEN_QUERIES = 256


@dataclass(slots=True, eq=False)
class _Order:
    """The texts of one caller: which are still to be taken, and what has come of the others."""

    tenant_id: uuid.UUID | None
    texts: Sequence[Read]
    vectors: list[Any]  # None where there is none yet
    urgent: bool = False
    suspects: collections.deque[int] = field(default_factory=collections.deque)  # lost an engine host: alone next
    losses: collections.Counter[int] = field(default_factory=collections.Counter)
    next: int = 0
    done: int = 0
    error: errors.ForebayError | None = None

    @property
    def waits(self) -> bool:
        return self.error is None and (self.next < len(self.texts) or bool(self.suspects))

    @property
    def over(self) -> bool:
        return self.error is not None or self.done == len(self.texts)


@dataclass(frozen=True, slots=True)
class _Item:
    order: _Order
    number: int

    @property
    def text(self) -> Read:
        return self.order.texts[self.number]


@dataclass(frozen=True, slots=True)
class _Batch:
    """Texts for one call; `alone` when nothing else may run beside it, `urgent` when they are queries."""

    items: Sequence[_Item]
    alone: bool
    urgent: bool


class Batcher:
    """Shares an engine: each batch takes one text of every tenant in turn, up to the engine's budget, and of a tenant's
    callers one after the other. Queries that a person waits for have batches of their own, and every other one where
    other texts wait too.

    A text that was in a batch when the engine host died is embedded alone the next time. Thread-safe.
    """

    def __init__(self, engine: Embedder | Reranker) -> None:
        self._engine = engine
        self._quarantine = Quarantine()
        self._changed = threading.Condition()
        self._orders: collections.deque[_Order] = collections.deque()
        self._last: dict[uuid.UUID | None, int] = {}  # each tenant's last text
        self._numbers = itertools.count(1)
        self._threads: list[threading.Thread] = []
        self._closed = False
        self._urgent_before = False  # the last batch was of queries
        self._asked_at = -math.inf  # the last time that a query waited
        self._others = 0  # batches of other texts under way

    def embed(
        self,
        texts: Sequence[Tokens],
        check: Check,
        heard: Callable[[int], None] | None = None,
        tenant_id: uuid.UUID | None = None,
        *,
        urgent: bool = False,
    ) -> NDArray[np.float32]:
        """One vector of length 1 a text, (n, d). `heard` is told how many are done; `check` may raise to give up.

        Queries that somebody waits for are `urgent`: they come before other texts. Raises what the engine raises,
        `Poison` for a text that killed two engine hosts alone, `EngineUnusable`.
        """
        return self._made(texts, check, heard, tenant_id, urgent=urgent)

    def rank(
        self,
        pairs: Sequence[Pair],
        check: Check,
        heard: Callable[[int], None] | None = None,
        tenant_id: uuid.UUID | None = None,
    ) -> NDArray[np.float32]:
        """How well each document answers its query, (n,), as logits. The rest is as of `embed`."""
        return self._made(pairs, check, heard, tenant_id)

    def _made(
        self,
        texts: Sequence[Read],
        check: Check,
        heard: Callable[[int], None] | None,
        tenant_id: uuid.UUID | None,
        *,
        urgent: bool = False,
    ) -> NDArray[np.float32]:
        order = _Order(tenant_id, texts, [None] * len(texts), urgent)
        with self._changed:
            self._start()
            self._orders.append(order)
            self._changed.notify_all()
        told = 0
        try:
            while told < len(texts) and not order.error:
                with self._changed:
                    if order.done == told and not order.over:
                        self._changed.wait(_CHECK_S)
                check()
                if order.done > told:
                    told = order.done
                    if heard:
                        heard(told)
        finally:
            with self._changed:
                self._orders.remove(order)
        if order.error:
            raise order.error
        return np.stack([vector for vector in order.vectors if vector is not None])

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """The token ids of each text, with what the model puts around one. Raises what the engine raises."""
        return cast(Embedder, self._engine).tokenize(texts)

    def pairs(self, query: str, documents: Sequence[str]) -> list[Pair]:
        """The query with each document, counted. Raises what the engine raises."""
        return cast(Reranker, self._engine).pairs(query, documents)

    def known(self, ids: Tokens) -> Tokens:
        """The ids of a text that is given by them. Raises `EngineRefused` for one that the vocabulary doesn't have."""
        return cast(Embedder, self._engine).prompt_of(ids).ids

    @property
    def prefixes(self) -> Mapping[Role, str]:
        """What the model wants before a text, by what it is."""
        return cast(Embedder, self._engine).prefixes

    @property
    def unknown(self) -> int | None:
        """The id of what the model can't read, where its vocabulary has one."""
        return cast(Embedder, self._engine).unknown

    @property
    def context(self) -> int:
        """How many tokens a text may have, with what the model puts around one."""
        return self._engine.context

    @property
    def waiting(self) -> int:
        """How many callers have a text in no batch yet."""
        with self._changed:
            return sum(order.waits for order in self._orders)

    def close(self) -> None:
        """Ends the threads once what they do is done. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _start(self) -> None:
        while len(self._threads) < BATCHES_IN_FLIGHT:
            thread = threading.Thread(target=self._work, name=f"batcher-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self) -> None:
        while batch := self._next():
            run = Run(suspect=batch.alone, exclusive=batch.alone)
            self._quarantine.enter(run, lambda: None)
            try:
                self._run(batch)
            except errors.ForebayError as error:
                self._fail(batch, error)
            except Exception as error:  # the thread's boundary: callers must not wait for ever
                log.exception("batch_failed")
                self._fail(batch, errors.EngineError(f"embedding failed: {type(error).__name__}"))
            finally:
                self._quarantine.leave(run)
                with self._changed:
                    self._others -= not batch.urgent
                    self._changed.notify_all()

    def _next(self) -> _Batch | None:
        """The next batch, once there is one, a suspect's first; None when the batcher is closed."""
        with self._changed:
            while not self._closed:
                if batch := self._suspect() or self._gather():
                    self._others += not batch.urgent
                    return batch
                self._changed.wait()
            return None

    def _suspect(self) -> _Batch | None:
        for order in self._orders:
            if order.suspects and not order.error:
                return _Batch([_Item(order, order.suspects.popleft())], alone=True, urgent=order.urgent)
        return None

    def _gather(self) -> _Batch | None:
        """Queries or other texts, as far as texts and tokens of a batch allow; None when none wait, or none now."""
        waiting = [order for order in self._orders if order.waits]
        queries = [order for order in waiting if order.urgent]
        others = [order for order in waiting if not order.urgent]
        now = time.monotonic()
        if queries:
            self._asked_at = now
        urgent = bool(queries) and not (others and self._urgent_before)
        budget = self._engine.batch_tokens
        if not urgent and now - self._asked_at < _ASKED_S:
            if self._others:
                return None if not queries else self._of(queries, budget, urgent=True)
            budget = min(budget, _TOKENS_BETWEEN_QUERIES)
        return self._of(queries if urgent else others, budget, urgent=urgent)

    def _of(self, orders: Sequence[_Order], budget: int, *, urgent: bool) -> _Batch | None:
        """One text of each tenant in turn, up to so many tokens."""
        if not orders:
            return None
        self._urgent_before = urgent
        waiting: dict[uuid.UUID | None, collections.deque[_Order]] = collections.defaultdict(collections.deque)
        for order in orders:
            waiting[order.tenant_id].append(order)
        here = {order.tenant_id for order in self._orders}
        self._last = {tenant_id: self._last.get(tenant_id, 0) for tenant_id in here}
        turn = collections.deque(sorted(waiting.values(), key=lambda orders: self._last[orders[0].tenant_id]))
        items: list[_Item] = []
        tokens = 0
        while turn and len(items) < TEXTS_OF_A_BATCH:
            mine = turn.popleft()
            order = mine.popleft()
            tokens += len(order.texts[order.next])
            if items and tokens > budget:
                break
            items.append(_Item(order, order.next))
            order.next += 1
            self._last[order.tenant_id] = next(self._numbers)
            if order.waits:
                mine.append(order)
            if mine:
                turn.append(mine)
        self._orders.rotate(-1)  # whose caller comes first now comes last in the next batch
        return _Batch(items, alone=False, urgent=urgent)

    def _run(self, batch: _Batch) -> None:
        incarnation = self._engine.incarnation
        try:
            vectors = self._computed([item.text for item in batch.items])
        except errors.EngineLost as error:
            self._lost(batch, incarnation, error)
            return
        if len(vectors) != len(batch.items):
            raise errors.EngineError(f"the engine gave {len(vectors)} vectors for {len(batch.items)} texts")
        with self._changed:
            for item, vector in zip(batch.items, vectors, strict=True):
                item.order.vectors[item.number] = vector
                item.order.done += 1

    def _computed(self, texts: Sequence[Any]) -> NDArray[np.float32]:
        """A vector for each text, or a number for each pair: a worker's model has one of these to read."""
        if isinstance(texts[0], Pair):
            return cast(Reranker, self._engine).rank(texts)
        return cast(Embedder, self._engine).embed(texts)

    def _fail(self, batch: _Batch, error: errors.ForebayError) -> None:
        """A refusal concerns one text: of several, each is tried alone; of one, its job is at fault."""
        with self._changed:
            for item in batch.items:
                if len(batch.items) > 1 and isinstance(error, errors.JobError):
                    item.order.suspects.append(item.number)
                else:
                    item.order.error = item.order.error or error

    def _lost(self, batch: _Batch, incarnation: int, error: errors.EngineLost) -> None:
        telemetry.emit(EngineLost(self._engine.name, str(error)))
        with self._changed:
            for item in batch.items:
                item.order.losses[item.number] += batch.alone and not isinstance(error, errors.EngineGone)
                if item.order.losses[item.number] >= _LOSSES_ALONE_ALLOWED:
                    message = f"the engine host died {_LOSSES_ALONE_ALLOWED} times while embedding this text alone"
                    item.order.error = item.order.error or errors.Poison(message)
                else:
                    item.order.suspects.append(item.number)
        try:
            self._engine.restart(incarnation)
        except errors.EngineUnusable as unusable:
            with self._changed:
                for order in self._orders:
                    order.error = order.error or unusable
