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
    """`taken` says that somebody asks it; `over`, that it was asked. Then it is `settled`, unless it is to be asked
    again by itself.
    """

    what: Q
    taken: bool = False
    over: bool = False
    settled: bool = False
    answer: A | None = None
    error: Exception | None = None


_PATIENCE_S = 0.05  # many times what a statement takes whose rows nobody holds


class Together(Generic[Q, A]):
    """Asks in one go for all that came while another was asking: whoever comes alone waits for nobody. Thread-safe.

    A question that waits, for a row's lock perhaps, holds up others for `patience_s` at most: then they are asked
    beside it.

    `ask` answers for each in order, with None where it couldn't: then the thread asks again, for itself alone. So does
    each whose common question failed: one that is refused takes no other with it.
    """

    def __init__(
        self, ask: Callable[[Sequence[Q]], Sequence[A | None]], most: int = 16, patience_s: float = _PATIENCE_S
    ) -> None:
        self._ask, self._most, self._patience_s = ask, most, patience_s
        self._changed = threading.Condition()
        self._waiting: collections.deque[_Asked[Q, A]] = collections.deque()
        self._asking = 0  # questions under way

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
        """Waits until its own is over, then none; or until nobody asks, or for too long while nobody asks its own: then
        what this thread is to ask, in order.
        """
        with self._changed:
            self._changed.wait_for(lambda: own.over or not self._asking, self._patience_s)
            if own.taken:
                self._changed.wait_for(lambda: own.over)
                return []
            self._asking += 1
            several = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            for asked in several:
                asked.taken = True
            return several

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
                self._asking -= 1
                self._changed.notify_all()
