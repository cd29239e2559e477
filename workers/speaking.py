"""Who speaks: the answers that a worker gives at this moment, and how long their tokens wait for company."""

import threading

_FEW = 2
_FEW_WAIT_S = 0.005
_MANY_WAIT_S = 0.025


class Speaking:
    """Counts the answers that have begun. Thread-safe.

    An event costs all processes more than a token. With one or two answers there is time for many events; from three on
    the engine wants the cores, and nobody sees 25 ms in a text that comes a few words at a time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: set[object] = set()

    def begin(self, answer: object) -> None:
        """The answer has its first token. Idempotent."""
        with self._lock:
            self._answers.add(answer)

    def end(self, answer: object) -> None:
        """It has its last, or is broken off. Idempotent; also where it never began."""
        with self._lock:
            self._answers.discard(answer)

    @property
    def wait_s(self) -> float:
        """How long tokens wait for more of their answer, counted from the last that went out."""
        return _FEW_WAIT_S if len(self._answers) <= _FEW else _MANY_WAIT_S
