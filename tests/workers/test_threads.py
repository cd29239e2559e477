"""The threads beside a worker's slots."""

import os

import pytest

from workers import threads
from workers.worker import Worker


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The statuses with which the process would have ended."""
    seen: list[int] = []
    monkeypatch.setattr(os, "_exit", seen.append)
    return seen


def slip() -> None:
    raise ZeroDivisionError("a slip that nobody foresaw")


def silence() -> None:
    """A loop that ends though nobody asked it to."""


@pytest.mark.parametrize("loop", [slip, silence])
def test_worker_one_of_whose_threads_ends_ends_with_it(worker: Worker, ends: list[int], loop: object) -> None:
    """Whoever supervises it starts another; alone it would hold its jobs without a sign."""
    threads.vital(worker, loop)  # type: ignore[arg-type]
    assert ends == [threads._THREAD_ENDED]


def test_threads_of_a_worker_that_goes_may_end(worker: Worker, ends: list[int]) -> None:
    worker.gone.set()
    threads.vital(worker, silence)
    assert ends == []
