"""The text of documents: short plain texts are read at once, all else by a child process that hostile files may take
down without harm."""

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import structlog

from tasks import errors
from tasks.documents import ingest
from tasks.documents.marks import Extracted, Marks
from workers.engines import hosting
from workers.extraction import archives, plain, plaintext

log = structlog.get_logger(__name__)

PLAIN = ("text", "markdown", "rst")
AT_ONCE_BYTES = 1 << 18  # some milliseconds, in tens at the worst

# A character has at most four bytes of UTF-8, in the text, and again, perhaps with a backslash, among the marks.
_BYTES_A_CHARACTER = 12
_HEAD_BYTES = 100_000
_NAMES_BYTES = 4_000_000
_LOOK_S = 0.1
_ERRORS: dict[str, type[errors.JobError]] = {
    error.code: error for error in (errors.UnreadableDocument, errors.DocumentTooLarge)
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What reading one document may cost, and how much may come of it."""

    characters: int = ingest.MAX_CHARACTERS
    pages: int = 2_000
    memory_bytes: int = 1 << 30  # of address space, the interpreter's too
    cpu_s: int = 90
    wall_s: float = 180.0


DEFAULT = Limits()


def at_once(raw: bytes, kind: str, charset: str | None = None) -> Extracted | None:
    """The text of a plain text of at most `AT_ONCE_BYTES`; None when its charset has to be guessed.

    For that it takes `extract`, which it is like in all else. Raises `UnreadableDocument`.
    """
    found = plaintext.decode_fast(raw, charset)
    return plain.shown(found, kind) if found is not None else None


def extract(
    raw: bytes,
    kind: str,
    limits: Limits = DEFAULT,
    stopped: Callable[[], bool] = lambda: False,
    charset: str | None = None,
) -> Extracted:
    """The text of a document of a kind: never empty, tidy, without NUL and lone surrogates.

    `charset` is the one that was declared, by a name of `charsets.known`. It is read in a child process that knows no
    secret, reaches nothing outside, and is ended at the limits, or once `stopped` says so. Raises
    `UnreadableDocument`, `DocumentTooLarge`; `RuntimeError` when the child is broken.
    """
    told = {"kind": kind, "charset": charset, **asdict(limits)}
    head, body = _answered(raw, told, _HEAD_BYTES + _BYTES_A_CHARACTER * limits.characters, limits, stopped)
    marks = Marks.from_json(head["marks"])
    return Extracted(body.decode(), marks, head["charset"], head["title"], tuple(head["warnings"]))


def unpack(
    raw: bytes, kind: str, limits: Limits = DEFAULT, stopped: Callable[[], bool] = lambda: False
) -> archives.Unpacked:
    """The files in an archive, by a child as `extract` has one. Raises what that does."""
    told = {"kind": kind, "charset": None, **asdict(limits)}
    head, body = _answered(raw, told, _NAMES_BYTES + archives.MOST_BYTES, limits, stopped)
    members, at = [], 0
    for name, size in head["members"]:
        members.append((name, body[at : at + size]))
        at += size
    return archives.Unpacked(members, [(name, reason) for name, reason in head["refused"]], at)


def _answered(
    raw: bytes, told: dict[str, Any], most_bytes: int, limits: Limits, stopped: Callable[[], bool]
) -> tuple[dict[str, Any], bytes]:
    """The head of a child's answer and what follows it."""
    command = [sys.executable, "-B", "-m", "workers.extraction.child"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=hosting.environment())
    deadline, over = time.monotonic() + limits.wall_s, threading.Event()

    def guard() -> None:
        while not over.wait(_LOOK_S):
            if time.monotonic() > deadline or stopped():
                child.kill()

    watching = threading.Thread(target=guard, name="guard", daemon=True)
    watching.start()
    try:
        answer = _ask(child, raw, told, most_bytes)
    finally:
        over.set()
        watching.join()
        child.kill()
        child.wait()
    if time.monotonic() > deadline and child.returncode == -signal.SIGKILL:
        raise errors.UnreadableDocument(f"it couldn't be read within {limits.wall_s:g} s")
    return _parted(answer, child.returncode, limits)


def _ask(child: "subprocess.Popen[bytes]", raw: bytes, told: dict[str, Any], most_bytes: int) -> bytes:
    """What the child answers, as far as an honest answer can go; returns when it has closed its end or gone too far."""
    assert child.stdin is not None
    assert child.stdout is not None
    with contextlib.suppress(BrokenPipeError), child.stdin:  # it may die of its limits before it has read all
        child.stdin.write(json.dumps(told).encode() + b"\n")
        child.stdin.write(raw)
    with child.stdout:
        answer = child.stdout.read(most_bytes)
    # The end of its answer is nearly its own end; only then does its status say how it ended.
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=1)
    return answer


def _parted(answer: bytes, status: int, limits: Limits) -> tuple[dict[str, Any], bytes]:
    head, _, body = answer.partition(b"\n")
    if status == 0 and head:
        told: dict[str, Any] = json.loads(head)
        _tell_gaps(*told["unwalled"])
        if "code" in told:
            raise _ERRORS[told["code"]](told["message"])
        return told, body
    if status == -signal.SIGXCPU:
        raise errors.UnreadableDocument(f"it couldn't be read with {limits.cpu_s} s of computing")
    if status < 0:
        raise errors.UnreadableDocument(f"what reads it died of it ({signal.Signals(-status).name})")
    raise RuntimeError(f"what reads documents ended with status {status}; the log has its traceback")


@cache
def _tell_gaps(*gaps: str) -> None:
    """Says once what this system leaves open to what reads documents."""
    if gaps:
        log.warning("not_walled", module="workers.extraction.child", reasons=gaps)
