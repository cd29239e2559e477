"""Turns: a few places that parts of many jobs take one after the other, in turn between their tenants."""

import itertools
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_CHECK_S = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class _Wish:
    tenant_id: uuid.UUID
    job_id: uuid.UUID


class Turns:
    """So many places, of which a tenant has all but one at most: another's first part begins at once. Thread-safe.

    A free place goes to the tenant whose last turn is longest ago, and to the oldest of its jobs.
    """

    def __init__(self, places: int) -> None:
        self._places, self._most = places, max(1, places - 1)
        self._changed = threading.Condition()
        self._wishes: list[_Wish] = []
        self._inside: Counter[uuid.UUID] = Counter()
        self._last: dict[uuid.UUID, int] = {}  # each tenant's last turn
        self._numbers = itertools.count(1)

    @contextmanager
    def taken(self, tenant_id: uuid.UUID, job_id: uuid.UUID, check: Callable[[], None]) -> Iterator[None]:
        """A place for as long as the block runs. Whoever has to wait asks `check`, which may raise to give up."""
        wish = _Wish(tenant_id, job_id)
        with self._changed:
            self._wishes.append(wish)
        try:
            while not self._entered(wish):
                check()
        except BaseException:
            with self._changed:
                self._wishes.remove(wish)
                self._changed.notify_all()
            raise
        try:
            yield
        finally:
            self._leave(tenant_id)

    @property
    def waiting(self) -> int:
        """How many have no place yet."""
        with self._changed:
            return len(self._wishes)

    def _entered(self, wish: _Wish) -> bool:
        """Takes a place, if it is this one's turn; else waits a little for it to come."""
        with self._changed:
            if self._next() is not wish:
                self._changed.wait(_CHECK_S)
                return False
            self._wishes.remove(wish)
            self._inside[wish.tenant_id] += 1
            self._last[wish.tenant_id] = next(self._numbers)
            self._changed.notify_all()
            return True

    def _next(self) -> _Wish | None:
        if self._inside.total() >= self._places:
            return None
        open_to = [wish for wish in self._wishes if self._inside[wish.tenant_id] < self._most]
        return min(open_to, key=lambda wish: (self._last.get(wish.tenant_id, 0), wish.job_id), default=None)

    def _leave(self, tenant_id: uuid.UUID) -> None:
        with self._changed:
            self._inside[tenant_id] -= 1
            if not self._wishes and not self._inside.total():
                self._inside.clear()
                self._last.clear()
            self._changed.notify_all()
