"""What several threads ask at one moment is asked once, and nobody gets another's answer."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from tests.support.waiting import until
from workers.together import Together


@dataclass(slots=True)
class Asked:
    """Notes what it is asked, and holds the first question until it is let go. Answers are ten times as much."""

    questions: list[list[int]] = field(default_factory=list)
    go: threading.Event = field(default_factory=threading.Event)
    refuses: frozenset[int] = frozenset()
    leaves_out: frozenset[int] = frozenset()

    def __call__(self, several: Sequence[int]) -> list[int | None]:
        self.questions.append(list(several))
        if len(self.questions) == 1:
            assert self.go.wait(30)
        if self.refuses.intersection(several):
            raise ValueError("refused")
        return [None if len(several) > 1 and one in self.leaves_out else 10 * one for one in several]


@dataclass(slots=True)
class Crowd:
    """Threads that each ask one thing."""

    together: Together[int, int]
    heard: dict[int, int | str | None] = field(default_factory=dict)
    threads: list[threading.Thread] = field(default_factory=list)

    def ask(self, what: int) -> None:
        def own() -> None:
            try:
                self.heard[what] = self.together(what)
            except ValueError as error:
                self.heard[what] = str(error)

        self.threads.append(threading.Thread(target=own))
        self.threads[-1].start()


def crowd(asked: Asked, number: int, most: int = 16) -> Crowd:
    """One asks; while it does, so many others come, one after the other; then it is answered, and they are."""
    made = Crowd(Together(asked, most, patience_s=60))
    made.ask(0)
    until(lambda: asked.questions == [[0]])
    for what in range(1, number + 1):
        made.ask(what)
        until(lambda here=what: len(made.together._waiting) == here)  # type: ignore[misc]
    asked.go.set()
    for thread in made.threads:
        thread.join()
    return made


def test_who_comes_alone_asks_at_once() -> None:
    asked = Asked()
    asked.go.set()
    together = Together(asked)
    assert [together(1), together(2)] == [10, 20]
    assert asked.questions == [[1], [2]]


def test_what_came_meanwhile_is_asked_in_one_go_in_order() -> None:
    asked = Asked()
    assert crowd(asked, 5).heard == {what: 10 * what for what in range(6)}
    assert asked.questions == [[0], [1, 2, 3, 4, 5]]


def test_only_so_many_are_asked_at_once() -> None:
    asked = Asked()
    assert crowd(asked, 5, most=2).heard == {what: 10 * what for what in range(6)}
    assert asked.questions == [[0], [1, 2], [3, 4], [5]]


def test_one_that_is_left_out_asks_again_by_itself() -> None:
    asked = Asked(leaves_out=frozenset({2}))
    assert crowd(asked, 3).heard == {what: 10 * what for what in range(4)}
    assert asked.questions == [[0], [1, 2, 3], [2]]


def test_one_that_is_refused_takes_no_other_with_it() -> None:
    asked = Asked(refuses=frozenset({2}))
    assert crowd(asked, 3).heard == {0: 0, 1: 10, 2: "refused", 3: 30}
    assert asked.questions[:2] == [[0], [1, 2, 3]]
    assert sorted(asked.questions[2:]) == [[1], [2], [3]]


def test_question_that_waits_holds_up_no_other() -> None:
    """The first is held until those that came after it have their answers."""
    asked = Asked()
    made = Crowd(Together(asked, patience_s=0.01))
    made.ask(0)
    until(lambda: asked.questions == [[0]])
    made.ask(1)
    made.ask(2)
    until(lambda: made.heard == {1: 10, 2: 20})
    asked.go.set()
    for thread in made.threads:
        thread.join()
    assert made.heard == {0: 0, 1: 10, 2: 20}


@pytest.mark.parametrize("refused", [True, False])
def test_alone_and_without_an_answer_is_asked_once(refused: bool) -> None:
    asked = Asked(refuses=frozenset({7}) if refused else frozenset())
    asked.go.set()
    questions: list[list[int]] = []

    def nothing(several: Sequence[int]) -> list[int | None]:
        questions.append(list(several))
        return [None for _ in asked(several)]

    together = Together(nothing)
    if refused:
        with pytest.raises(ValueError, match="refused"):
            together(7)
    else:
        assert together(7) is None
    assert questions == [[7]]
