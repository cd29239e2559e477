"""Places of a process that tenants share. The rule is one: who has as many as are still free gets no more.

So one tenant alone has at most half of the places, two have a third each, and whoever has none finds one.
"""

import threading
from collections import Counter, deque
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from tasks import errors


class Shares:
    """Places that are had at once or not at all. Thread-safe."""

    def __init__(self, places: int, what: str) -> None:
        """`what` names in an error what takes a place, as in "streams"."""
        self.places = places
        self._what = what
        self._free = places
        self._held: Counter[Hashable] = Counter()
        self._lock = threading.Lock()

    def take(self, holder: Hashable) -> None:
        """Takes a place, for `give_back`. Raises `ShareUsedUp`, or `Unavailable` when nobody can have one."""
        with self._lock:
            if not self._may(holder):
                raise self._refusal(holder)
            self._hold(holder)

    def give_back(self, holder: Hashable) -> None:
        with self._lock:
            self._free += 1
            self._held[holder] -= 1
            if not self._held[holder]:
                del self._held[holder]

    @contextmanager
    def held(self, holder: Hashable, **how: bool) -> Iterator[None]:
        """`take` for as long as the block runs."""
        self.take(holder, **how)
        try:
            yield
        finally:
            self.give_back(holder)

    def _may(self, holder: Hashable) -> bool:
        return self._held[holder] < self._free

    def _hold(self, holder: Hashable) -> None:
        self._free -= 1
        self._held[holder] += 1

    def _refusal(self, holder: Hashable) -> errors.ForebayError:
        if self._free and self._held[holder]:
            return errors.ShareUsedUp(f"you have as many {self._what} in this process as are free; try again")
        return errors.Unavailable(f"this process can take no more {self._what}; try again")


class Turns(Shares):
    """Places that are waited for: who holds fewest comes next, and of those who has waited longest."""

    def __init__(self, places: int, what: str, *, line: int, patience_s: float) -> None:
        """Each holder may have `line` waiting at a time, for `patience_s` each; and those who are `patient`, which is
        for who holds a thread anyway."""
        super().__init__(places, what)
        self._line = line
        self._patience_s = patience_s
        self._lines: dict[Hashable, deque[threading.Event]] = {}

    def take(self, holder: Hashable, *, patient: bool = False) -> None:
        with self._lock:
            line = self._lines.get(holder, deque())
            if not line and self._may(holder):
                self._hold(holder)
                return
            if len(line) >= self._line and not patient:
                raise self._refusal(holder)
            come = threading.Event()
            line.append(come)
            self._lines[holder] = line
        if not come.wait(self._patience_s):
            self._leave(holder, come)

    def give_back(self, holder: Hashable) -> None:
        super().give_back(holder)
        with self._lock:
            self._serve()

    def _serve(self) -> None:
        """Gives what is free to those who wait for it."""
        while able := [holder for holder in self._lines if self._may(holder)]:
            holder = min(able, key=lambda one: self._held[one])
            line = self._lines.pop(holder)
            line.popleft().set()
            if line:  # behind the others who hold as many
                self._lines[holder] = line
            self._hold(holder)

    def _leave(self, holder: Hashable, come: threading.Event) -> None:
        """Out of patience. Raises like `take`, unless the turn came just now."""
        with self._lock:
            if come.is_set():
                return
            line = self._lines[holder]
            line.remove(come)
            if not line:
                del self._lines[holder]
            raise self._refusal(holder)
