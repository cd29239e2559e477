"""Who may use an engine at the same time: everyone, or a suspect alone."""

import threading
from collections.abc import Callable

_CHECK_S = 0.2


class Quarantine:
    """After an engine host's death every run of it is a suspect, and most are innocent: each is tried alone.

    While a suspect waits or runs, nobody else begins. Thread-safe.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._together = 0
        self._suspects = 0
        self._alone = False

    def enter(self, check: Callable[[], None], *, alone: bool) -> None:
        """Waits for the right to run; `check` is asked now and then and may raise to give up."""
        with self._changed:
            self._suspects += alone
            try:
                while self._alone or (self._together if alone else self._suspects):
                    self._changed.wait(_CHECK_S)
                    check()
            except BaseException:
                self._suspects -= alone
                self._changed.notify_all()
                raise
            self._alone = alone
            self._together += not alone

    def mingle(self) -> None:
        """The one that runs alone has shown itself harmless: from now on it runs with the others."""
        with self._changed:
            self._alone = False
            self._suspects -= 1
            self._together += 1
            self._changed.notify_all()

    def leave(self, *, alone: bool) -> None:
        """The run is over, or has lost its host."""
        with self._changed:
            if alone:
                self._alone = False
                self._suspects -= 1
            else:
                self._together -= 1
            self._changed.notify_all()
