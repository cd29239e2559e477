"""A completion that can stand still while another one's prompt is evaluated, and lose nothing by it."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from tasks import errors
from tasks.models.engine import Delta, Finish, Progress, Step
from workers.engines.completions import Completion


@dataclass(slots=True)
class Told:
    """What was read of an answer: the token ids of its text, and how many tokens were spent on them. `own` says that
    the slot has evaluated something of this generation, and so has nothing of another."""

    ids: list[int] = field(default_factory=list)
    tokens: int = 0
    own: bool = False


class Pausing:
    """One generation, broken off to stand still and begun again from what was read: a `Pausable`.

    It is begun by the first `read`, by `begin`, and gives at most `room` tokens. `reread` makes ids of a text of which
    the server told none. The engine's slot stays its own meanwhile, with all that it has evaluated, and is given back
    once, by `give_back`.
    """

    def __init__(
        self,
        begin: Callable[[Told], Completion],
        reread: Callable[[str], Sequence[int]],
        room: int,
        give_back: Callable[[], None],
    ) -> None:
        self._begin, self._reread, self._room = begin, reread, room
        self._give_back: Callable[[], None] | None = give_back
        self._lock = threading.Lock()
        self._may_go_on = threading.Event()
        self._may_go_on.set()
        self._cancelled = False
        self._told = Told()
        self._cached: int | None = None  # of the prompt, where it was broken off: what is cached later is its own
        self._completion: Completion | None = None

    def read(self, timeout_s: float, *, gather: bool = False) -> Sequence[Step]:
        """As `Handle`'s; nothing comes while it stands still. Raises `EngineGone` too."""
        if self._completion is None and not self._begun(timeout_s):
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
            if not self._cancelled:
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

    def _begun(self, timeout_s: float) -> bool:
        """Whether it goes on; waits for that so long at most. Nobody who pauses it waits for a host that hangs.

        Raises `Cancelled`, `EngineGone`.
        """
        if not self._may_go_on.wait(timeout_s):
            return False
        if self._cancelled:
            raise errors.Cancelled("cancelled")
        if self._told.tokens < self._room:
            completion = self._begin(self._told)
            with self._lock:
                self._completion = completion
                if self._cancelled or not self._may_go_on.is_set():
                    completion.cancel()
        return True

    def _break_off(self) -> None:
        with self._lock:
            assert self._completion is not None
            self._cached = self._completion.cached if self._cached is None else self._cached
            self._completion.close()
            self._completion = None

    def _noted(self, step: Step) -> Sequence[Step]:
        """The step as its reader is to have it: of the answer's own tokens, evaluated again, nobody is told."""
        told, self._told.own = self._told, True
        if isinstance(step, Delta):
            told.ids += step.token_ids if len(step.token_ids) == step.tokens else self._reread(step.text)
            told.tokens += step.tokens
        elif isinstance(step, Progress) and told.tokens:
            return ()
        elif isinstance(step, Finish) and self._cached is not None:
            step = replace(step, cached=self._cached)
        return (step,)
