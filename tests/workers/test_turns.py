"""Turns among tenants, taken by threads that wait for a sign each."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tasks import errors
from tests.workers.stages.test_stages import until
from workers.turns import Turns

ANNA, BEN, CLARA = (uuid.UUID(int=number) for number in (1, 2, 3))


class Queue:
    """Parts that each take a turn: `begun` is who began, in order; each goes on until it is told to end."""

    def __init__(self, places: int) -> None:
        self.turns = Turns(places)
        self.begun: list[str] = []
        self._ends: dict[str, threading.Event] = {}
        self._threads: list[threading.Thread] = []

    def begin(self, tenant_id: uuid.UUID, job: int, name: str) -> None:
        """Has a part begin, for which there is a place."""
        self._start(tenant_id, job, name)
        until(lambda: name in self.begun)

    def ask(self, tenant_id: uuid.UUID, job: int, name: str) -> None:
        """Has a part wait for its turn."""
        waiting = self.turns.waiting
        self._start(tenant_id, job, name)
        until(lambda: self.turns.waiting == waiting + 1)

    def end(self, name: str) -> None:
        """Ends a part, and waits for the next to begin."""
        begun = len(self.begun)
        self._ends[name].set()
        until(lambda: len(self.begun) > begun)

    def end_all(self) -> None:
        for event in self._ends.values():
            event.set()
        for thread in self._threads:
            thread.join()

    def _start(self, tenant_id: uuid.UUID, job: int, name: str) -> None:
        self._ends[name] = threading.Event()
        thread = threading.Thread(target=self._take, args=(tenant_id, uuid.UUID(int=job), name))
        self._threads.append(thread)
        thread.start()

    def _take(self, tenant_id: uuid.UUID, job_id: uuid.UUID, name: str) -> None:
        with self.turns.taken(tenant_id, job_id, lambda: None):
            self.begun.append(name)
            assert self._ends[name].wait(60)


@contextmanager
def queue(places: int) -> Iterator[Queue]:
    made = Queue(places)
    try:
        yield made
    finally:
        made.end_all()


def test_tenants_alternate_however_much_one_asks_for() -> None:
    with queue(1) as parts:
        parts.begin(ANNA, 1, "anna 1")
        for number in (2, 3):
            parts.ask(ANNA, number, f"anna {number}")
        parts.ask(BEN, 9, "ben")
        for name in ("anna 1", "ben", "anna 2"):
            parts.end(name)
        assert parts.begun == ["anna 1", "ben", "anna 2", "anna 3"]


def test_oldest_job_of_a_tenant_goes_first() -> None:
    """So that few of its documents are half done at a time."""
    with queue(1) as parts:
        parts.begin(ANNA, 2, "first")
        parts.ask(ANNA, 3, "younger")
        parts.ask(ANNA, 1, "older")
        parts.end("first")
        assert parts.begun == ["first", "older"]


def test_one_place_is_kept_from_a_tenant_who_has_all_others() -> None:
    with queue(3) as parts:
        for number in (1, 2):
            parts.begin(ANNA, number, f"anna {number}")
        for number in (3, 4):
            parts.ask(ANNA, number, f"anna {number}")
        parts.begin(BEN, 9, "ben")
        parts.ask(CLARA, 8, "clara")
        parts.end("anna 1")
        assert parts.begun == ["anna 1", "anna 2", "ben", "clara"]


def test_whoever_gives_up_leaves_its_turn_to_others() -> None:
    turns = Turns(1)

    def give_up() -> None:
        raise errors.Cancelled("enough")

    with ExitStack() as stack:
        stack.enter_context(turns.taken(ANNA, uuid.UUID(int=1), give_up))
        with pytest.raises(errors.Cancelled), turns.taken(BEN, uuid.UUID(int=2), give_up):
            pass
        assert turns.waiting == 0
    with turns.taken(CLARA, uuid.UUID(int=3), give_up):
        assert turns.waiting == 0


def test_part_that_fails_gives_its_place_back() -> None:
    turns = Turns(1)
    with pytest.raises(ZeroDivisionError), turns.taken(ANNA, uuid.UUID(int=1), lambda: None):
        raise ZeroDivisionError
    with turns.taken(BEN, uuid.UUID(int=2), lambda: None):
        assert turns.waiting == 0
