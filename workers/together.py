"""What several threads of a worker ask of PostgreSQL at one moment, asked in one statement."""

import collections
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


@dataclass(slots=True, eq=False)
class _Asked(Generic[Q, A]):
    """`over` says that it was asked; it is `settled` unless it is to be asked again by itself."""

    what: Q
    over: bool = False
    settled: bool = False
    answer: A | None = None
    error: Exception | None = None


class Together(Generic[Q, A]):
    """Asks in one go for all that came while another was asking: whoever comes alone waits for nobody. Thread-safe.

    `ask` answers for each in order, with None where it couldn't: then the thread asks again, for itself alone. So does
    each whose common question failed: one that is refused takes no other with it.
    """

    def __init__(self, ask: Callable[[Sequence[Q]], Sequence[A | None]], most: int = 16) -> None:
        self._ask, self._most = ask, most
        self._changed = threading.Condition()
        self._waiting: collections.deque[_Asked[Q, A]] = collections.deque()
        self._asking = False

    def __call__(self, what: Q) -> A | None:
        """The answer, or None where there is none. Raises what `ask` raises."""
        own: _Asked[Q, A] = _Asked(what)
        with self._changed:
            self._waiting.append(own)
        while several := self._turn(own):
            self._serve(several)
        if own.error:
            raise own.error
        return own.answer if own.settled else self._ask([what])[0]

    def _turn(self, own: _Asked[Q, A]) -> list[_Asked[Q, A]]:
        """Waits until its own is over, then none; or until nobody asks, then what this thread is to ask, in order."""
        with self._changed:
            while self._asking and not own.over:
                self._changed.wait()
            if own.over:
                return []
            self._asking = True
            return [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]

    def _serve(self, several: Sequence[_Asked[Q, A]]) -> None:
        alone = len(several) == 1
        answers: Sequence[A | None] = [None] * len(several)
        try:
            answers = self._ask([asked.what for asked in several])
        except Exception as error:  # noqa: BLE001 whatever it is, those who ask must hear of it; of a common question nobody knows whose fault it is
            several[0].error = error if alone else None
        finally:
            with self._changed:
                for asked, answer in zip(several, answers, strict=True):
                    asked.answer, asked.settled, asked.over = answer, alone or answer is not None, True
                self._asking = False
                self._changed.notify_all()
