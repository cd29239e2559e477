"""The batcher: fair shares of an engine, and what an engine host's death costs."""

import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks import errors
from tests.support.waiting import until
from workers.batcher import Batcher, Tokens
from workers.engines.echo import Echo

POISON = 666


@dataclass(slots=True)
class Recording(Echo):
    """An echo that keeps its batches, waits to be let go, and dies of `POISON`."""

    batches: list[list[Tokens]] = field(default_factory=list)
    go: threading.Event = field(default_factory=threading.Event)
    restarts: int = 0
    unusable_after: int = 100
    trouble: Callable[[Any], NDArray[np.float32]] | None = None

    def embed(self, inputs: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        self.batches.append([tuple(ids) for ids in inputs])
        assert self.go.wait(60)
        if self.trouble:
            return self.trouble(inputs)
        if any(POISON in ids for ids in inputs):
            raise errors.EngineLost("it died")
        if any(0 in ids for ids in inputs):
            raise errors.EngineRefused("no zeros")
        return super(Recording, self).embed(inputs)

    def restart(self, lost: int, *, explained: bool = False) -> None:
        if self.restarts == self.unusable_after:
            raise errors.EngineUnusable("it died too often")
        self.restarts += 1
        self.incarnation = lost + 1


@pytest.fixture
def engine() -> Recording:
    return Recording("echo", slots=4, context=64)


def texts(*numbers: int, length: int = 4) -> list[Tokens]:
    return [(number,) * length for number in numbers]


def never() -> None:
    pass


def occupied(
    pool: ThreadPoolExecutor, batcher: Batcher, engine: Recording, *, urgent: bool = False
) -> list[Future[NDArray[np.float32]]]:
    """Fills both places for batches with a text each; two at once would share a batch."""
    blockers = []
    for number in range(2):
        blockers.append(pool.submit(batcher.embed, texts(1), never, urgent=urgent))
        until(lambda n=number: len(engine.batches) == n + 1)
    return blockers


def test_each_text_gets_its_own_vector(engine: Recording) -> None:
    engine.go.set()
    asked = texts(*range(1, 101))
    vectors = Batcher(engine).embed(asked, never)
    assert np.array_equal(vectors, Echo("echo", 1, 64).embed(asked))


def test_several_callers_share_a_batch_in_turn(engine: Recording) -> None:
    batcher = Batcher(engine)
    with ThreadPoolExecutor() as pool:
        blockers = occupied(pool, batcher, engine)
        many = pool.submit(batcher.embed, texts(*range(100, 140)), never)
        until(lambda: batcher.waiting == 1)
        few = pool.submit(batcher.embed, texts(7), never)
        until(lambda: batcher.waiting == 2)
        engine.go.set()
        assert all(len(future.result(60)) == 1 for future in (*blockers, few))
        assert len(many.result(60)) == 40
    assert (7,) * 4 in engine.batches[2]


def test_a_tenant_with_many_callers_has_no_more_of_a_batch_than_one_with_a_single(engine: Recording) -> None:
    batcher = Batcher(engine)
    many, single = uuid.UUID(int=1), uuid.UUID(int=2)
    with ThreadPoolExecutor(9) as pool:
        blockers = occupied(pool, batcher, engine)
        for caller in range(6):
            pool.submit(batcher.embed, texts(*range(100, 120)), never, None, many)
            until(lambda n=caller: batcher.waiting == n + 1)
        few = pool.submit(batcher.embed, texts(*range(1, 9)), never, None, single)
        until(lambda: batcher.waiting == 7)
        engine.go.set()
        assert all(len(blocker.result(60)) == 1 for blocker in blockers)
        assert len(few.result(60)) == 8
    taken = [text[0] < 100 for batch in engine.batches[2:] for text in batch]
    assert sum(taken[:16]) == 8


def test_queries_come_before_other_texts(engine: Recording) -> None:
    """Whoever came first, and however many wait; while somebody asks, other texts are computed a few at a time."""
    batcher = Batcher(engine)
    one, other = uuid.UUID(int=1), uuid.UUID(int=2)
    with ThreadPoolExecutor(9) as pool:
        blockers = occupied(pool, batcher, engine)
        many = pool.submit(batcher.embed, texts(*range(100, 110), length=60), never, None, one)
        until(lambda: batcher.waiting == 1)
        asked = [
            pool.submit(batcher.embed, texts(n), never, None, who, urgent=True) for n, who in ((1, one), (2, other))
        ]
        until(lambda: batcher.waiting == 3)
        engine.go.set()
        assert all(len(future.result(60)) == 1 for future in (*blockers, *asked))
        assert len(many.result(60)) == 10
    first, *rest = engine.batches[2:]
    assert sorted(first) == texts(1, 2)
    assert max(map(len, rest)) == 4


def test_queries_leave_every_other_batch_to_other_texts(engine: Recording) -> None:
    """Who asks all the time keeps nobody from ingesting."""
    batcher = Batcher(engine)
    with ThreadPoolExecutor(9) as pool:
        blockers = occupied(pool, batcher, engine, urgent=True)
        asked = pool.submit(batcher.embed, texts(*range(1, 49)), never, None, uuid.UUID(int=1), urgent=True)
        until(lambda: batcher.waiting == 1)
        few = pool.submit(batcher.embed, texts(100), never, None, uuid.UUID(int=2))
        until(lambda: batcher.waiting == 2)
        engine.go.set()
        assert all(len(future.result(60)) == 1 for future in (*blockers, few))
        assert len(asked.result(60)) == 48
    # After two batches of queries it is the next, while three of queries wait; another of those may begin beside it.
    assert engine.batches.index(texts(100)) in (2, 3)
    assert len(engine.batches) == 6


def test_a_batch_stays_within_the_engines_tokens(engine: Recording) -> None:
    engine.go.set()
    Batcher(engine).embed(texts(*range(1, 30), length=60), never)
    assert max(sum(map(len, batch)) for batch in engine.batches) <= engine.batch_tokens


def test_progress_counts_up_to_all(engine: Recording) -> None:
    engine.go.set()
    heard: list[int] = []
    Batcher(engine).embed(texts(*range(1, 101)), never, heard.append)
    assert heard == sorted(set(heard))
    assert heard[-1] == 100


def test_a_caller_that_gives_up_leaves_the_others_alone(engine: Recording) -> None:
    batcher = Batcher(engine)

    def give_up() -> None:
        raise errors.Cancelled("enough")

    with ThreadPoolExecutor() as pool:
        leaving = pool.submit(batcher.embed, texts(1), give_up)
        staying = pool.submit(batcher.embed, texts(2), never)
        with pytest.raises(errors.Cancelled):
            leaving.result(60)
        engine.go.set()
        assert len(staying.result(60)) == 1


def test_a_text_that_kills_the_host_fails_alone(engine: Recording) -> None:
    engine.go.set()
    batcher = Batcher(engine)
    with ThreadPoolExecutor() as pool:
        innocent = [pool.submit(batcher.embed, texts(number, number + 1), never) for number in range(1, 6)]
        guilty = pool.submit(batcher.embed, [(POISON,)], never)
        with pytest.raises(errors.Poison):
            guilty.result(60)
        assert all(len(future.result(60)) == 2 for future in innocent)
    assert engine.batches.count([(POISON,)]) >= 2
    assert engine.restarts <= 3


def test_a_refused_text_fails_its_own_caller_only(engine: Recording) -> None:
    batcher = Batcher(engine)
    with ThreadPoolExecutor() as pool:
        blockers = occupied(pool, batcher, engine)
        refused = pool.submit(batcher.embed, [(0,)], never)
        taken = pool.submit(batcher.embed, texts(5), never)
        until(lambda: batcher.waiting == 2)
        engine.go.set()
        with pytest.raises(errors.EngineRefused):
            refused.result(60)
        assert len(taken.result(60)) == 1
        assert all(blocker.result(60) is not None for blocker in blockers)


def test_an_engine_that_answers_nonsense_fails_its_callers_and_serves_the_next(engine: Recording) -> None:
    """One vector too few, or an error nobody foresaw: the batcher goes on."""
    engine.go.set()
    batcher = Batcher(engine)
    for trouble in (lambda inputs: np.zeros((0, 16), np.float32), lambda inputs: 1 / 0):
        engine.trouble = trouble
        with pytest.raises(errors.EngineError):
            batcher.embed(texts(1, 2), never)
        engine.trouble = None
        assert len(batcher.embed(texts(1, 2), never)) == 2


def test_a_deadly_text_stays_poison_when_the_engine_is_given_up(engine: Recording) -> None:
    engine.go.set()
    engine.unusable_after = 2
    with pytest.raises(errors.Poison):
        Batcher(engine).embed([(POISON,)], never)


def test_an_engine_that_cannot_be_brought_back_fails_everyone(engine: Recording) -> None:
    engine.unusable_after = 0
    engine.go.set()
    with pytest.raises(errors.EngineUnusable):
        Batcher(engine).embed([(POISON,), (1,)], never)
