"""One child process that runs functions (`tasks.functions.child`), as its parent sees it."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tasks.errors import SettingsError, Unavailable
from tasks.functions.signature import Signature
from tasks.settings import FunctionSettings

_START_S = 30.0
_LOOK_S = 0.2
_MAX_ANSWER_BYTES = 1 << 20  # what is bounded there, escaped once more
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TMPDIR")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a call may cost beside its time, and how large its result may be."""

    memory_bytes: int = 512 << 20  # of address space, beside what is imported
    result_bytes: int = 64 << 10  # as JSON


class Died(Exception):
    """The child is gone."""


class DiedIdle(Died):
    """The child is gone, and nothing was done of what it was asked."""


class Late(Exception):
    """The child didn't answer in time."""


class Left(Exception):
    """Nobody waits for the answer any more."""


class Child:
    """Started when it is made, in a process group of its own; it ends when we do. Not for two threads at once.

    It is told no variable of ours but those that the settings name. Raises `SettingsError` for a module that can't be
    used, `Unavailable` when the child can't be started.
    """

    def __init__(self, settings: FunctionSettings, limits: Limits) -> None:
        command = [sys.executable, "-B", "-m", "tasks.functions.child"]
        pipe, env = subprocess.PIPE, _environment(settings)
        try:
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=env, process_group=0)
        except OSError as error:  # no memory, no processes left
            raise Unavailable(f"no process for functions can be started: {error.strerror}") from error
        try:
            self.signatures = self._begin(settings, limits)
        except BaseException:
            self.end()
            raise

    def _begin(self, settings: FunctionSettings, limits: Limits) -> dict[str, Signature]:
        told = {
            "modules": settings.modules,
            "weather_url": settings.weather_url,
            "geocoding_url": settings.geocoding_url,
            "limit_s": settings.limit_s,
            "memory_bytes": limits.memory_bytes,
            "result_bytes": limits.result_bytes,
        }
        try:
            answer = self.ask(told, _START_S)
        except (Died, Late) as error:
            raise Unavailable("the process for functions didn't start; the log may say why") from error
        if "error" in answer:
            raise SettingsError(f"settings: FUNCTIONS: {answer['error']}")
        return {each["name"]: Signature(**each) for each in answer["functions"]}

    def ask(self, question: dict[str, Any], limit_s: float, left: Callable[[], bool] = lambda: False) -> dict[str, Any]:
        """One line for one. Raises `Died`, `DiedIdle`, `Late`, and `Left` once `left` says so.

        After any of these the child must be ended.
        """
        deadline = time.monotonic() + limit_s
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            # A thread of its reads what comes, also while a function runs: this waits for nobody.
            stdin.write(json.dumps(question).encode() + b"\n")
            stdin.flush()
        except OSError as error:
            raise DiedIdle from error
        return _answer(stdout.fileno(), deadline, left)

    def end(self) -> None:
        """Ends it and what it has started, for certain. Idempotent."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # the latter of macOS, for a zombie
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def _environment(settings: FunctionSettings) -> dict[str, str]:
    known = {name: os.environ[name] for name in (*_ENVIRONMENT, *settings.variables) if name in os.environ}
    return {**known, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _answer(descriptor: int, deadline: float, left: Callable[[], bool]) -> dict[str, Any]:
    """What comes after the empty line. Raises `Late`, `Left`, and `Died` at its writer's end or where none is to be."""
    poll, came = select.poll(), bytearray()
    poll.register(descriptor, select.POLLIN)
    while len(came) < 2 or not came.endswith(b"\n"):
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise Late
        if not poll.poll(1000 * min(left_s, _LOOK_S)):
            if left():
                raise Left
            continue
        part = os.read(descriptor, 1 << 16)
        came += part
        if not part or len(came) > _MAX_ANSWER_BYTES:
            raise Died if came else DiedIdle
    return dict(json.loads(came))
