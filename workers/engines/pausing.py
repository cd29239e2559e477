"""A completion that can stand still while another one's prompt is evaluated, and lose nothing by it."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from tasks import errors
from tasks.models.engine import Delta, Finish, Progress, Step
from workers.engines.completions import Completion


class Pausing:
    """One generation, broken off to stand still and begun again from the tokens that were read: a `Pausable`.

    `begin` begins it after these tokens of its answer, the first time or `again`; there are `room` of them at most. The
    engine's slot stays its own meanwhile, with all that it has evaluated, and is given back once, by `give_back`.
    """

    def __init__(
        self, begin: Callable[[Sequence[int], bool], Completion], room: int, give_back: Callable[[], None]
    ) -> None:
        self._begin, self._room = begin, room
        self._give_back: Callable[[], None] | None = give_back
        self._lock = threading.Lock()
        self._may_go_on = threading.Event()
        self._may_go_on.set()
        self._cancelled = False
        self._ids: list[int] = []
        self._knows_ids = True
        self._cached: int | None = None  # of the prompt, where it was broken off: what is cached later is its own
        self._completion: Completion | None = None
        try:
            self._completion = begin((), False)
        except errors.ForebayError:
            self.close()
            raise

    def read(self, timeout_s: float, *, gather: bool = False) -> Sequence[Step]:
        """As `Handle`'s; nothing comes while it stands still."""
        if self._completion is None and not self._begun_again(timeout_s):
            return []
        if self._completion is None:
            return [Finish("length", 0, self._cached or 0)]  # its end was all that was not read
        try:
            return [known for step in self._completion.read(timeout_s, gather=gather) for known in self._noted(step)]
        except errors.Cancelled:
            if self._cancelled:
                raise
            self._break_off()
            return []

    def pause(self) -> None:
        with self._lock:
            if self._knows_ids and not self._cancelled:
                self._may_go_on.clear()
                if self._completion is not None:
                    self._completion.cancel()

    def resume(self) -> None:
        self._may_go_on.set()

    def cancel(self) -> None:
        with self._lock:
            self._cancelled = True
            self._may_go_on.set()
            if self._completion is not None:
                self._completion.cancel()

    def close(self) -> None:
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            if self._completion is not None:
                self._completion.close()
            give_back()

    def _begun_again(self, timeout_s: float) -> bool:
        """Whether it goes on; waits for that so long at most. Raises `Cancelled`, `EngineGone`."""
        if not self._may_go_on.wait(timeout_s):
            return False
        with self._lock:
            if self._cancelled:
                raise errors.Cancelled("cancelled")
            if not self._may_go_on.is_set():
                return False
            if len(self._ids) < self._room:
                self._completion = self._begin(self._ids, True)
        return True

    def _break_off(self) -> None:
        with self._lock:
            assert self._completion is not None
            self._cached = self._completion.cached if self._cached is None else self._cached
            self._completion.close()
            self._completion = None

    def _noted(self, step: Step) -> Sequence[Step]:
        """The step as its reader is to have it: of the answer's own tokens, evaluated again, nobody is told."""
        if isinstance(step, Delta):
            self._knows_ids &= len(step.token_ids) == step.tokens
            self._ids += step.token_ids
        elif isinstance(step, Progress) and self._ids:
            return ()
        elif isinstance(step, Finish) and self._cached is not None:
            step = replace(step, cached=self._cached)
        return (step,)
