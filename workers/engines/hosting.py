"""Engine hosts: child processes, started fresh, in which models are loaded. They die with us and may die alone."""

import collections
import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent import futures
from typing import Any

import structlog

from tasks import errors

log = structlog.get_logger(__name__)

RESTARTS_A_MINUTE = 3


class _DiedLoading(errors.EngineUnusable):
    """The child ended before the model was loaded, without a word of why."""


def environment() -> dict[str, str]:
    """What a child that reads foreign files may know of ours: how to run, no secrets."""
    known = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    return {**known, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


class Host:
    """One engine host: `python -m <module>`, told its configuration on stdin, answering one line of JSON when ready.

    The child gets a scrubbed environment and ends itself when its stdin closes, which our death does. After
    `restarts_a_minute` it is given up; None never gives up.
    """

    def __init__(
        self,
        module: str,
        configuration: Mapping[str, Any],
        load_timeout_s: float,
        restarts_a_minute: int | None = RESTARTS_A_MINUTE,
    ) -> None:
        self._module, self._configuration, self._load_timeout_s = module, configuration, load_timeout_s
        self._restarts_a_minute = restarts_a_minute
        self._lock = threading.Lock()
        self._restarted_at: collections.deque[float] = collections.deque(maxlen=restarts_a_minute or 1)
        self._process: subprocess.Popen[str] | None = None
        self.ready: dict[str, Any] = {}

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    @property
    def incarnation(self) -> int:
        """The process id of a child that serves; while one is being replaced, whoever asks waits for the next.

        Who took one that still loads for its own would find nobody listening, and have it replaced for that.
        """
        with self._lock:
            return self.pid

    def start(self) -> None:
        """Starts the child and waits until the model is loaded. Raises `EngineUnusable` with what it said."""
        try:
            self._process = self._popen()
        except OSError as error:  # no memory, no processes left
            raise errors.EngineUnusable(f"the engine host can't be started: {error}") from error
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(self._configuration) + "\n")
            self._process.stdin.flush()
        self.ready = self._await_ready()
        log.info("engine_host_ready", pid=self.pid, module=self._module)

    def _popen(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", self._module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )

    def ask(self, question: Mapping[str, Any], limit_s: float) -> dict[str, Any]:
        """One line to a child that answers each with one. Raises `EngineLost` when it dies of it or takes too long.

        A child that takes too long is ended. Not for two threads at once.
        """
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise errors.EngineUnusable("the engine has been closed")
        deadline = time.monotonic() + limit_s
        try:
            _send(process.stdin.fileno(), json.dumps(question).encode() + b"\n", deadline)
            return dict(json.loads(_line(process.stdout.fileno(), deadline)))
        except (OSError, ValueError) as error:
            process.kill()
            raise errors.EngineLost(f"{self._module} is gone: {error}") from error

    def restart(self, lost: int, *, explained: bool = False) -> None:
        """Replaces the child with that process id, ending it if it still lives; another has been replaced already.

        Raises `EngineUnusable` when children died more than three times within a minute, or after `close`; deaths
        that are `explained`, up to this one, don't count.
        """
        with self._lock:
            if explained:
                self._restarted_at.clear()
            process = self._process
            if process is None:
                raise errors.EngineUnusable("the engine has been closed")
            if process.pid != lost:
                return
            process.kill()
            process.wait()
            log.warning("engine_host_died", pid=process.pid, exit_code=process.returncode)
            self._release(process)
            while not self._replaced():
                log.warning("engine_host_died_loading", pid=self.pid)

    def _replaced(self) -> bool:
        """Starts another child; False when it died while it loaded, as one may whose memory was taken."""
        now, most = time.monotonic(), self._restarts_a_minute
        if most and len(self._restarted_at) == most and now - self._restarted_at[0] < 60:
            raise errors.EngineUnusable(f"the engine host died {most + 1} times within a minute")
        self._restarted_at.append(now)
        try:
            self.start()
        except _DiedLoading:
            return False
        return True

    def kill(self) -> None:
        """Ends the child for certain. Idempotent."""
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """Ends the child and frees what it held here. Idempotent."""
        with self._lock:
            process, self._process = self._process, None
            if process is not None:
                process.kill()
                self._release(process)

    def _await_ready(self) -> dict[str, Any]:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        deadline = time.monotonic() + self._load_timeout_s
        guard = threading.Timer(self._load_timeout_s, process.kill)
        guard.start()
        try:
            line = process.stdout.readline()
        finally:
            guard.cancel()
        try:
            answer: dict[str, Any] = json.loads(line) if line else {}
        except ValueError:  # it was cut off
            answer = {}
        if answer and "error" not in answer:
            return answer
        self._release(process)
        if answer:
            raise errors.EngineUnusable(answer["error"])
        if time.monotonic() >= deadline:  # trying again would hold everyone up for as long, and again
            raise errors.EngineUnusable(f"the model wasn't loaded within {self._load_timeout_s:g} s")
        raise _DiedLoading(f"the engine host ended with code {process.returncode} before the model was loaded")

    @staticmethod
    def _release(process: "subprocess.Popen[str]") -> None:
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def start(*hosts: Host) -> None:
    """Starts them beside each other. Raises `EngineUnusable`, with all of them ended, when one can't be."""
    with futures.ThreadPoolExecutor(len(hosts)) as pool:
        starting = [pool.submit(host.start) for host in hosts]
    failed = [error for future in starting if (error := future.exception())]
    if failed:
        for host in hosts:
            host.close()
        raise failed[0]


def _send(descriptor: int, data: bytes, deadline: float) -> None:
    """Writes all of it. Raises `OSError`, a `TimeoutError` when the reader doesn't read."""
    os.set_blocking(descriptor, False)
    left = memoryview(data)
    while left:
        if not select.select([], [descriptor], [], max(0.0, deadline - time.monotonic()))[1]:
            raise TimeoutError("it doesn't read")
        left = left[os.write(descriptor, left) :]


def _line(descriptor: int, deadline: float) -> bytes:
    """One line. Raises `OSError`: a `TimeoutError` when it doesn't come, `ConnectionResetError` at the writer's end."""
    came = bytearray()
    while not came.endswith(b"\n"):
        if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise TimeoutError("it doesn't answer")
        part = os.read(descriptor, 1 << 20)
        if not part:
            raise ConnectionResetError("it has ended")
        came += part
    return bytes(came)
