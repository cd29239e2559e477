"""Cutting in child processes: where it happens, how it ends, and who goes first."""

import os
import threading
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import psutil
import pytest

from tasks import errors
from tasks.documents import chunking
from tasks.documents.chunking import About, Piece
from tasks.documents.costs import Count
from tasks.documents.marks import Grid, Heading, Marks
from tests.workers.conftest import Bench
from tests.workers.stages.test_stages import until
from workers import wall
from workers.attempt import Attempt, Stop
from workers.cutting.parent import Cutter

TEXT = " ".join(f"word{number}" for number in range(800))
LONG = " ".join("word" * 4 for _ in range(200_000))


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "workers.cutting.child" in child.cmdline()]


def attempt(bench: Bench, tenant: int = 1) -> Attempt:
    return Attempt(replace(bench.attempt().claim, tenant_id=uuid.UUID(int=tenant), job_id=uuid.uuid4()))


def cut(cutter: Cutter, attempt: Attempt, text: str, count: Count = words) -> list[Piece]:
    return cutter.cut(attempt, text, count, 32, 4, attempt.check)


@dataclass(slots=True)
class Held:
    """Counts tokens when it is let go, and tells that it was asked."""

    asked: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)

    def __call__(self, texts: Sequence[str]) -> list[int]:
        self.asked.set()
        assert self.go.wait(60)
        return words(texts)


@pytest.fixture
def cutter() -> Iterator[Cutter]:
    made = Cutter()
    yield made
    made.close()
    assert children() == []


def test_text_is_cut_in_another_process_as_it_would_be_here(cutter: Cutter, bench: Bench) -> None:
    """Only the tokens are counted here; the process stays for the next text."""
    assert cut(cutter, attempt(bench), TEXT) == chunking.cut(TEXT, words, 32, 4)
    [child] = children()
    assert cut(cutter, attempt(bench), "one word") == [Piece("one word", 2, 0, 8)]
    assert children() == [child]


def test_marks_and_title_reach_the_other_process(cutter: Cutter, bench: Bench) -> None:
    about = About("facts", "text", Marks((Heading(0, 1, "word0"),), (0, 20), (Grid(40, 400, "word5"),)))
    task = attempt(bench)
    pieces = cutter.cut(task, TEXT, words, 32, 4, task.check, about)
    assert pieces == chunking.cut(TEXT, words, 32, 4, about)
    assert {(piece.path, piece.page, piece.header) for piece in pieces[1:3]} == {(("word0",), 2, "word5")}


def test_child_knows_no_secret(cutter: Cutter, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREBAY_DATABASE_URL", "postgresql://secret")
    cut(cutter, attempt(bench), TEXT)
    assert not [name for name in children()[0].environ() if name.startswith("FOREBAY")]


def test_cancel_ends_the_cutting_at_once(cutter: Cutter, bench: Bench) -> None:
    """The child is ended in the middle of its computing; the next text has another."""
    cancelled = attempt(bench)
    with ThreadPoolExecutor() as pool:
        cutting = pool.submit(cut, cutter, cancelled, LONG)
        until(lambda: children() and cancelled._held)
        [child] = children()
        cancelled.stop(Stop.ENDED)
        with pytest.raises(errors.Cancelled):
            cutting.result(60)
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    assert cut(cutter, attempt(bench), "one word") == [Piece("one word", 2, 0, 8)]


def test_cancel_while_waiting_for_a_turn_ends_the_wait(cutter: Cutter, bench: Bench) -> None:
    held = Held()
    first, second = attempt(bench), attempt(bench)
    with ThreadPoolExecutor() as pool:
        cutting = pool.submit(cut, cutter, first, TEXT, held)
        assert held.asked.wait(60)
        waiting = pool.submit(cut, cutter, second, TEXT)
        second.stop(Stop.ENDED)
        with pytest.raises(errors.Cancelled):
            waiting.result(60)
        held.go.set()
        assert cutting.result(60)


def test_another_tenants_text_is_cut_beside_a_long_one(cutter: Cutter, bench: Bench) -> None:
    """However many texts the first has waiting. Those who don't cut go before."""
    held = Held()
    with ThreadPoolExecutor() as pool:
        long = pool.submit(cut, cutter, attempt(bench), TEXT, held)
        assert held.asked.wait(60)
        assert [child.nice() for child in children()] == [min(19, os.nice(0) + wall.NICENESS)]
        more = pool.submit(cut, cutter, attempt(bench), TEXT)
        assert cut(cutter, attempt(bench, tenant=2), "one word") == [Piece("one word", 2, 0, 8)]
        assert not more.done()
        held.go.set()
        assert long.result(60) == more.result(30)


def test_text_that_children_die_of_twice_is_poison(cutter: Cutter, bench: Bench) -> None:
    deaths: list[int] = []

    def kill(texts: Sequence[str]) -> list[int]:
        deaths.extend(child.pid for child in children())
        for child in children():
            child.kill()
        return words(texts)

    with pytest.raises(errors.Poison):
        cut(cutter, attempt(bench), TEXT, kill)
    assert len(set(deaths)) == 2


def test_text_whose_cutting_child_dies_once_is_cut_by_the_next(cutter: Cutter, bench: Bench) -> None:
    killed: list[Any] = []

    def kill_once(texts: Sequence[str]) -> list[int]:
        if not killed:
            killed.extend(children())
            killed[0].kill()
        return words(texts)

    assert cut(cutter, attempt(bench), TEXT, kill_once) == chunking.cut(TEXT, words, 32, 4)


def test_text_that_cannot_be_cut_is_named(cutter: Cutter, bench: Bench) -> None:
    with pytest.raises(errors.UnreadableDocument, match="alone has more than 32 tokens"):
        cut(cutter, attempt(bench), TEXT, lambda texts: [99 * bool(text) for text in texts])


def test_kept_pieces_are_had_once_and_the_oldest_go_when_they_are_too_many(cutter: Cutter) -> None:
    first, second = uuid.uuid4(), uuid.uuid4()
    large = [Piece("x" * 9_000_000, 1)]
    cutter.keep(first, large)
    cutter.keep(second, large)
    assert cutter.taken(first) is None
    assert cutter.taken(second) == large
    assert cutter.taken(second) is None
