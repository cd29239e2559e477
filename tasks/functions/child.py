"""Runs functions in a process of its own: `python -m tasks.functions.child`, one call after the other.

On stdin comes a line of JSON, the configuration, and on stdout goes `{"functions": [...]}` or `{"error": text}`. Then
each line `{"name", "arguments"}` is answered with one: `{"result": JSON as text}`, `{"wrong": text, "field"}` for the
arguments, or `{"failed": text, "kind", "where"}`. Before an answer goes an empty line, at once: what was asked has been
begun. The process ends when its stdin does, whatever it is doing.
"""

import json
import os
import queue
import re
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from tasks import strictjson
from tasks.errors import InvalidField, SettingsError, ToolFailed
from tasks.functions import builtin, registry
from tasks.functions.registry import Function

Told = dict[str, Any]

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # in JSON; PostgreSQL doesn't take it
_MAX_TEXT = 2_000
_CALLS = 8  # as many as are told of where something was raised
_LATE_S = 2  # for a parent that can't end us any more


def main() -> None:
    """Answers until there is nobody who asks."""
    asked, answers = _pipes()
    told = json.loads(asked.readline())
    _begin(answers)
    try:
        ours = builtin.functions(told["weather_url"], told["geocoding_url"])
        functions = registry.collect(ours, told["modules"])
    except SettingsError as error:
        _say(answers, {"error": str(error)})
        return
    _bound(told)
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(asked, lines), name="listener", daemon=True).start()
    _say(answers, {"functions": [_described(each) for each in functions.values()]})
    while True:
        line = lines.get()
        _begin(answers)
        # Whatever holds the interpreter, so that `_listen` isn't run: the kernel's clock ends us.
        signal.setitimer(signal.ITIMER_REAL, told["limit_s"] + _LATE_S)
        answer = _answer(functions, json.loads(line), told)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _say(answers, answer)


def _pipes() -> tuple[IO[bytes], IO[bytes]]:
    """What is asked and what is answered; a function that reads stdin or prints finds nothing, and the log."""
    asked, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return asked, answers


def _bound(told: Told) -> None:
    """The clock ends us; so much memory beside what is imported; no image of it on the disk when we die."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # a parent may have had it ignored
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # macOS refuses any such limit (EINVAL)
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + told["memory_bytes"], taken + told["memory_bytes"]))


def _listen(asked: IO[bytes], lines: "queue.SimpleQueue[bytes]") -> None:
    for line in asked:
        lines.put(line)
    if os.getpgrp() == os.getpid():  # those that a function has started end too
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def _described(each: Function) -> Told:
    signature = each.signature
    return {"name": signature.name, "description": signature.description, "parameters": signature.parameters}


def _answer(functions: Mapping[str, Function], asked: Told, told: Told) -> Told:
    chosen = functions[asked["name"]]
    try:
        arguments = chosen.parameters.read(asked["arguments"])
    except InvalidField as error:
        return {"wrong": _plain(str(error)), "field": _plain(error.field or "")}
    try:
        returned = chosen.run(arguments)
    except ToolFailed as error:
        return _failed(_plain(str(error)), error)
    except MemoryError as error:
        return _failed(f"{chosen.name} needed more than {told['memory_bytes'] >> 20} MiB of memory", error)
    except Exception as error:  # noqa: BLE001 - a function may raise anything; its text may hold what nobody may see
        return _failed(f"{chosen.name} failed: {type(error).__name__}", error)
    return _result(chosen.name, returned, told["result_bytes"])


def _result(name: str, returned: Any, most: int) -> Told:
    try:
        result = strictjson.dumps(returned)
    except (ValueError, MemoryError, RecursionError) as error:
        return _failed(f"{name} returned what isn't JSON", error)
    if len(result) > most or len(result.encode()) > most:
        return {"failed": f"{name} returned more than {most >> 10} KiB", "kind": "TooLarge", "where": []}
    if _NUL.search(result):
        return {"failed": f"{name} returned a text with a NUL", "kind": "NUL", "where": []}
    return {"result": result}


def _failed(message: str, error: BaseException) -> Told:
    """What is told, and, for the log, what was raised where, without its text."""
    calls = traceback.extract_tb(error.__traceback__)[-_CALLS:]
    where = [f"{call.filename}:{call.lineno} {call.name}" for call in calls]
    return {"failed": message, "kind": type(error).__name__, "where": where}


def _plain(text: str) -> str:
    """The text as it can be stored and sent."""
    return text[:_MAX_TEXT].encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def _begin(answers: IO[bytes]) -> None:
    answers.write(b"\n")
    answers.flush()


def _say(answers: IO[bytes], answer: Told) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    main()
