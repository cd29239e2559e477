"""The functions of the server for whoever wants one called: `Toolbox.call`."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import structlog

from tasks.errors import InvalidField, NotFound, ToolFailed
from tasks.functions.parent import Child, Died, DiedIdle, Late, Left, Limits
from tasks.functions.signature import Signature
from tasks.settings import FunctionSettings

log = structlog.get_logger(__name__)

PLACES = 4
_LOOK_S = 0.2
MAX_ARGUMENTS_BYTES = 64 << 10

_KEPT = 2  # idle children, of some 45 MB each; more only run while more is asked
_DEFAULT = Limits()


class Toolbox:
    """Calls functions in child processes, as many at a time as there are places. Thread-safe.

    A child starts when one is needed and is kept for the next call, unless its function hung or died. All end with
    this process.
    """

    def __init__(self, settings: FunctionSettings, places: int = PLACES, limits: Limits = _DEFAULT) -> None:
        self._settings = settings
        self._limits = limits
        self._places = threading.BoundedSemaphore(places)
        self._idle: list[Child] = []
        self._most = _KEPT
        self._signatures: Mapping[str, Signature] | None = None
        self._lock = threading.Lock()
        self._learning = threading.Lock()

    def check(self) -> None:
        """Looks whether what the settings name can be used; no child stays. Raises `SettingsError`, `Unavailable`."""
        child = Child(self._settings, self._limits)
        self._signatures = child.signatures
        child.end()

    def functions(self) -> Mapping[str, Signature]:
        """All functions by name. The first time a child is started. Raises `SettingsError`, `Unavailable`."""
        with self._learning:
            if self._signatures is None:
                child = Child(self._settings, self._limits)
                self._signatures = child.signatures
                self._keep(child)
            return self._signatures

    def find(self, name: str) -> Signature:
        """The function of that name. Raises `NotFound`, and what `functions` raises."""
        found = self.functions().get(name)
        if found is None:
            raise NotFound(f"no function {name[:64]}")
        return found

    def call(self, name: str, arguments: str, left: Callable[[], bool] = lambda: False) -> str:
        """What the function returns for these arguments, both JSON; the result has at most 64 KiB, and no NUL.

        Raises `NotFound`; `InvalidField` for arguments that don't fit, with the path (`arguments.latitude`); and
        `ToolFailed` when the function raises, takes longer than it may, dies, returns no JSON or too much, when all
        places stay taken for as long, or once `left`, asked five times a second, says that nobody waits any more. The
        texts of all three may be shown to the model and the client. `Unavailable` where no process can be started.
        """
        self.find(name)
        if len(arguments.encode(errors="replace")) > MAX_ARGUMENTS_BYTES:
            raise InvalidField("arguments", f"have more than {MAX_ARGUMENTS_BYTES >> 10} KiB")
        with self._place(left):
            return _result(name, self._answer(name, arguments, left))

    def close(self) -> None:
        """Ends the idle children now, and the others once they have answered. Idempotent."""
        with self._lock:
            idle, self._idle, self._most = self._idle, [], 0
        for child in idle:
            child.end()

    @contextmanager
    def _place(self, left: Callable[[], bool]) -> Iterator[None]:
        deadline = time.monotonic() + self._settings.limit_s
        while not self._places.acquire(timeout=_LOOK_S):
            if left() or time.monotonic() > deadline:
                raise ToolFailed("too many functions are running; try again")
        try:
            yield
        finally:
            self._places.release()

    def _answer(self, name: str, arguments: str, left: Callable[[], bool]) -> dict[str, Any]:
        question = {"name": name, "arguments": arguments}
        try:
            if idle := self._taken():
                with suppress(DiedIdle):
                    return self._asked(idle, question, left)
            return self._asked(Child(self._settings, self._limits), question, left)
        except (Died, Late, Left) as error:
            log.warning("function_ended", function=name, how=type(error).__name__)
            raise ToolFailed(_said(name, error, self._settings.limit_s)) from error

    def _asked(self, child: Child, question: dict[str, Any], left: Callable[[], bool]) -> dict[str, Any]:
        try:
            answer = child.ask(question, self._settings.limit_s, left)
        except BaseException:
            child.end()
            raise
        if answer.get("kind") == MemoryError.__name__:
            child.end()  # of which nobody knows what is left whole
        else:
            self._keep(child)
        return answer

    def _taken(self) -> Child | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _keep(self, child: Child) -> None:
        with self._lock:
            kept = len(self._idle) < self._most
            if kept:
                self._idle.append(child)
        if not kept:
            child.end()


def _said(name: str, error: Died | Late | Left, limit_s: float) -> str:
    if isinstance(error, Late):
        return f"{name} didn't answer within {limit_s:g} seconds"
    return f"{name} ended the process it ran in" if isinstance(error, Died) else f"{name} was stopped"


def _result(name: str, answer: Mapping[str, Any]) -> str:
    if "wrong" in answer:
        raise InvalidField(answer["field"], answer["wrong"])
    if "failed" in answer:
        if answer["kind"] != ToolFailed.__name__:
            log.warning("function_failed", function=name, error=answer["kind"], where=answer["where"])
        raise ToolFailed(answer["failed"])
    return str(answer["result"])
