"""Who may run on an engine whose host has died: its runs are suspects, and each is tried while nobody else begins.

A suspect's trial ends when it has shown itself harmless at the place where the host died, or after some seconds. It
runs on then, beside the next one being tried: a trial keeps others waiting, never a whole answer. Whoever waits stands
still for `TRIAL_S` at most for each one that is tried before it. That is doubled with each death that several unproven
ones shared, until they are far enough apart to tell who it was.
"""

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

TRIAL_S = 5.0

_LONGEST_TRIAL_S = 320.0
_CHECK_S = 0.2
_LOSSES_ALLOWED = 2


@dataclass(slots=True, eq=False)
class Run:
    """One run that uses the engine, over all its tries. One that is `exclusive` is tried with nobody else inside.

    `losses` counts the deaths it is blamed for: the first may be an error, the second happened while it was alone.
    """

    suspect: bool = False
    exclusive: bool = False
    losses: int = 0
    unproven: bool = False  # is inside, and hasn't come past the place where the host died
    blamed: int = 0  # whoever was blamed last has the highest number

    @property
    def guilty(self) -> bool:
        return self.losses >= _LOSSES_ALLOWED


class Quarantine:
    """Lets runs in: everyone together, or after a death one after the other. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[Run] = []
        self._inside: list[Run] = []
        self._tried: Run | None = None
        self._trial_ends_at = 0.0
        self._trial_s = TRIAL_S
        self._blames = itertools.count(1)

    def enter(self, run: Run, check: Callable[[], None]) -> None:
        """Waits for the right to run; `check` is asked now and then and may raise to give up."""
        with self._changed:
            self._waiting.append(run)
            try:
                while not self._may_enter(run):
                    self._changed.wait(_CHECK_S)
                    check()
            finally:
                self._waiting.remove(run)
                self._changed.notify_all()
            self._inside.append(run)
            run.unproven = run.suspect
            if run.suspect:
                self._tried = run
                self._trial_ends_at = time.monotonic() + self._trial_s

    def proven(self, run: Run) -> None:
        """The run has come past the place where the host died: it isn't to blame for that."""
        with self._changed:
            run.suspect = run.unproven = False
            run.losses = 0
            self._trial_s = TRIAL_S
            self._end_trial_of(run)

    def lost(self, run: Run) -> None:
        """The run was inside when the host died, and is a suspect from now on. Every such run has to say so.

        The first to do it decides who is blamed, and leaves nobody inside.
        """
        with self._changed:
            run.suspect = True
            if run in self._inside:
                self._blame()
                for other in self._inside:
                    other.suspect, other.unproven = True, False
                self._inside.clear()
                self._end_trial_of(self._tried)

    def leave(self, run: Run) -> None:
        """The run is over, or found the host dead before it began. Does nothing after `lost`."""
        with self._changed:
            if run in self._inside:
                self._inside.remove(run)
                run.unproven = False
                self._end_trial_of(run)

    def _blame(self) -> None:
        """Blames whoever is being tried, else the only one that is unproven; of several nobody knows which it was."""
        unproven = [run for run in self._inside if run.unproven]
        culprit = self._tried if self._on_trial() else unproven[0] if len(unproven) == 1 else None
        if culprit:
            culprit.losses = culprit.losses + 1 if self._inside == [culprit] else max(culprit.losses, 1)
            culprit.blamed = next(self._blames)
        elif unproven:
            self._trial_s = min(2 * self._trial_s, _LONGEST_TRIAL_S)

    def _may_enter(self, run: Run) -> bool:
        if self._on_trial() or (run.exclusive and self._inside):
            return False
        # Whoever was blamed last is tried before anyone else is back: with certainty alone.
        first = max(self._waiting, key=lambda other: (other.suspect, other.blamed))
        return run is first or not first.suspect

    def _on_trial(self) -> bool:
        if self._tried is None:
            return False
        return self._tried.exclusive or time.monotonic() < self._trial_ends_at

    def _end_trial_of(self, run: Run | None) -> None:
        if self._tried is run:
            self._tried = None
        self._changed.notify_all()
