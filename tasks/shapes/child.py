"""Reads schemas in a process of its own: `python -m tasks.shapes.child`.

One line of JSON is one question, one line the answer: `{"compile": schema, "path"}` → `{"grammar", "exact"}`;
`{"faults": schema, "text"}` → `{"fault"}`, null when there is none; to either `{"path", "refused"}`. A question
that takes too much processor time or memory ends the process. So does the end of its parent, which closes stdin.
"""

import json
import math
import re
import resource
import signal
import sys
from typing import Any

from tasks import errors
from tasks.shapes import check, schema

Told = dict[str, Any]


def main() -> None:
    """Answers until stdin ends. The first line are the limits: `memory_bytes`, `cpu_s`."""
    sys.tracebacklimit = 10  # what may be a client's doing needn't fill the log
    limits = json.loads(sys.stdin.buffer.readline())
    check.usable({"type": "object"}, "")  # so that no question pays for what is loaded once
    _bound(limits)
    _answer({"ready": True})
    for line in sys.stdin.buffer:
        signal.setitimer(signal.ITIMER_PROF, limits["cpu_s"])
        _answer(_answered(line))
        signal.setitimer(signal.ITIMER_PROF, 0)


def _bound(limits: Told) -> None:
    """Takes what reading schemas doesn't need: memory, files beyond those that are open, processes."""
    if sys.platform != "darwin":  # macOS refuses any such limit (EINVAL)
        resource.setrlimit(resource.RLIMIT_AS, (limits["memory_bytes"], limits["memory_bytes"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)


def _answered(line: bytes) -> Told:
    try:
        told = json.loads(line)
        if "compile" in told:
            return _compiled(told["compile"], told["path"])
        return {"fault": _fault(told["faults"], told["text"])}
    except errors.SchemaRefused as error:
        return {"path": error.path, "refused": str(error)}
    except RecursionError:
        return {"path": "", "refused": "the schema is nested too deeply"}
    except re.error as error:
        return {"path": "", "refused": f"the schema can't be read: {error}"}


def _compiled(told: Any, path: str) -> Told:
    check.usable(told, path)
    made = schema.compile(told, path)
    return {"grammar": made.grammar.to_json(), "exact": made.exact}


def _fault(told: Any, text: str) -> str | None:
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except ValueError as error:
        return f"$: not JSON: {error}"
    return check.faults(told, value)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:50]} is too large a number")
    return number


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} isn't JSON")


def _answer(told: Told) -> None:
    sys.stdout.buffer.write(json.dumps(told, ensure_ascii=True).encode() + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
