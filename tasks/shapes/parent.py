"""Schemas are read by child processes, which hostile ones may take down without harm."""

import contextlib
import json
import os
import queue
import select
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import structlog

from tasks import errors, strictjson
from tasks.shapes.grammar import Grammar
from tasks.shapes.schema import Compiled

log = structlog.get_logger(__name__)

MAX_BYTES = 512 << 10
MAX_DEPTH = 200

_READY_S = 30.0
_NO_TURN = contextlib.nullcontext()
_TOO_MUCH = "the schema takes too much time or memory to be read"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one question may cost."""

    wall_s: float = 5.0
    cpu_s: float = 2.0
    memory_bytes: int = 512 << 20  # of address space, the interpreter's too
    kept: int = 300  # compiled schemas
    kept_bytes: int = 8 << 20  # of their grammars in JSON, which take some ten times as much as objects


@dataclass(frozen=True, slots=True)
class _Kept:
    compiled: Compiled | None  # None for one that took too much, which needn't be seen again
    size: int


class _TookTooMuch(errors.SchemaRefused):
    """The child was ended at one of its limits."""


class Shaper:
    """Compiles schemas and checks answers, in children, started when they are needed and replaced when they die.

    For all threads of a process; as many questions at a time as there may be `children`. After a fork each process
    needs its own.
    """

    def __init__(self, limits: Limits = Limits(), *, children: int = 1) -> None:
        self._limits = limits
        self._keeping = threading.Lock()
        # The last that was used is the next: others are started only where several questions come at once.
        self._children: queue.LifoQueue[_Child] = queue.LifoQueue()
        self._all = [_Child(limits) for _ in range(children)]
        for child in self._all:
            self._children.put(child)
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._kept_bytes = 0

    def compile(self, schema: Any, path: str = "schema", turn: AbstractContextManager[Any] = _NO_TURN) -> Compiled:
        """The schema's grammar; a schema that was asked for lately costs nothing, no `turn` either.

        Raises `SchemaRefused`, also when reading it takes too much; `Unavailable` when no child can be started.
        """
        key = _bounded(schema, path)
        with self._keeping:
            if (known := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                if known.compiled is None:
                    raise errors.SchemaRefused(path, _TOO_MUCH)
                return known.compiled
        try:
            with turn:
                line = self._ask({"compile": schema, "path": path}, path)
        except _TookTooMuch:
            self._keep(key, _Kept(None, len(key)))
            raise
        answer = _read(line, path)
        compiled = Compiled(Grammar.from_json(answer["grammar"]), answer["exact"])
        self._keep(key, _Kept(compiled, len(line)))
        return compiled

    def faults(self, schema: Any, text: str, path: str = "schema") -> str | None:
        """What is wrong with the answer, which is JSON in a text; None when it satisfies the schema.

        Raises `SchemaRefused` when checking it takes too much; `Unavailable` when no child can be started.
        """
        _bounded(schema, path)
        fault: str | None = _read(self._ask({"faults": schema, "text": text}, path), path)["fault"]
        return fault

    def close(self) -> None:
        """Ends the children, when they have answered. Idempotent; another question starts another."""
        held = [self._children.get() for _ in self._all]
        for child in held:
            child.end()
            self._children.put(child)

    def _keep(self, key: bytes, kept: _Kept) -> None:
        with self._keeping:
            if (old := self._kept.pop(key, None)) is not None:
                self._kept_bytes -= old.size
            self._kept[key] = kept
            self._kept_bytes += kept.size
            while len(self._kept) > self._limits.kept or self._kept_bytes > self._limits.kept_bytes:
                self._kept_bytes -= self._kept.popitem(last=False)[1].size

    def _ask(self, question: dict[str, Any], path: str) -> bytes:
        told = json.dumps(question).encode() + b"\n"
        child = self._children.get()
        try:
            return child.ask(told, path)
        finally:
            self._children.put(child)


class _Child:
    """One process, asked by one thread at a time."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.process: subprocess.Popen[bytes] | None = None

    def ask(self, told: bytes, path: str) -> bytes:
        """Raises `_TookTooMuch` where it ended over the question, or had to be ended."""
        child = self._started()
        try:
            return _exchanged(child, told, time.monotonic() + self._limits.wall_s)
        except OSError as error:
            self.end()
            log.warning("shaper_ended", exit_code=child.returncode, reason=str(error), path=path)
            raise _TookTooMuch(path, _TOO_MUCH) from error
        except BaseException:  # what it answers now would be taken for the answer to the next question
            self.end()
            raise

    def _started(self) -> "subprocess.Popen[bytes]":
        """The child that answers; another when it has died since, as of a lack of memory."""
        if self.process is not None and self.process.poll() is None:
            return self.process
        self.end()
        command = [sys.executable, "-B", "-m", "tasks.shapes.child"]
        limits = {"memory_bytes": self._limits.memory_bytes, "cpu_s": self._limits.cpu_s}
        try:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment())
            _exchanged(self.process, json.dumps(limits).encode() + b"\n", time.monotonic() + _READY_S)
        except OSError as error:
            self.end()
            raise errors.Unavailable(f"what reads schemas can't be started: {error}") from error
        return self.process

    def end(self) -> None:
        child, self.process = self.process, None
        if child is None:
            return
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def _environment() -> dict[str, str]:
    """How to run, and no secrets."""
    known = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    return {**known, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _bounded(schema: Any, path: str) -> bytes:
    """The schema's bytes, in which the order of properties counts. Raises `SchemaRefused` for too many or too deep."""
    _refuse_depth(schema, path)
    try:
        told = strictjson.dumps(schema).encode()
    except ValueError as error:
        raise errors.SchemaRefused(path, f"isn't JSON: {error}") from error
    if len(told) > MAX_BYTES:
        raise errors.SchemaRefused(path, f"the schema has more than {MAX_BYTES >> 10} KiB")
    return told


def _refuse_depth(schema: Any, path: str) -> None:
    level = [schema]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner += one.values()
            elif isinstance(one, list):
                inner += one
        if not inner:
            return
        level = inner
    raise errors.SchemaRefused(path, f"the schema is nested deeper than {MAX_DEPTH}")


def _read(line: bytes, path: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(line)
    if "refused" in answer:
        raise errors.SchemaRefused(answer["path"] or path, answer["refused"])
    return answer


def _exchanged(child: "subprocess.Popen[bytes]", told: bytes, deadline: float) -> bytes:
    """The line that the child answers with. Raises `OSError` when it ends, or doesn't until the deadline."""
    assert child.stdin is not None
    assert child.stdout is not None
    source, sink = child.stdout.fileno(), child.stdin.fileno()
    os.set_blocking(sink, False)
    left, came = memoryview(told), bytearray()
    while not came.endswith(b"\n"):
        readable, writable, _ = select.select(
            [source], [sink] if left else [], [], max(0.0, deadline - time.monotonic())
        )
        if writable:
            left = left[os.write(sink, left) :]
        elif not readable:
            raise TimeoutError("it took too long")
        if readable:
            part = os.read(source, 1 << 20)
            if not part:
                raise ConnectionResetError("it has ended")
            came += part
    return bytes(came)
