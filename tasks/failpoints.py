"""Failpoints: named places at which a process kills itself or a thread pauses, when the environment says so.

`FOREBAY_FAILPOINT=name:n[:action],…`, read at the first passage: at the n-th passage of the place in this process,
counted over all its threads, `kill` (the default) ends the process by SIGKILL and `pause` holds the passing thread for
half a second. Each is told to the log first. Without the variable a passage costs a dictionary's look-up.

The places, in the order in which a job passes them:

    api.before_commit                            the job is about to be written
    api.after_commit_before_response             the job is accepted, the client not told
    dispatch.before_send                         a job is in the window, its wake-up not sent
    dispatch.after_send                          a wake-up has been sent
    worker.after_model_ready                     the model is loaded, the worker not entered
    worker.after_claim                           the job is running, nothing done
    worker.mid_prefill                           the engine told how far the prompt is
    worker.mid_generation                        a token came; each is a passage
    worker.after_generate_before_xadd            entries are in memory, not in the stream
    worker.after_xadd                            entries are in the stream
    worker.before_terminal_commit                the end is about to be written
    worker.after_terminal_commit_before_done_event   the job has ended, its stream doesn't say so
    worker.after_done_before_ack                 the stream says so, the message isn't acknowledged
    sweeper.between_update_and_ring              the sweep's round is committed, its wake-ups not sent

And the one that a parent passes:

    families.before_move_on                      its last child has ended, and it waits still

Those that a file passes:

    files.after_piece                            a piece of it is kept; each is a passage
    files.before_erasing                         it is deleted, the bytes of a part of it aren't erased

And a batch:

    batches.after_lot                            some of its lines are jobs; each lot is a passage
    batches.after_part_before_commit             bytes of a file of its are kept, and nobody's; each is a passage
    batches.after_part                           they are its draft's, or its file's; each is a passage
    batches.after_file                           the file is the batch's, if it has lines; each is a passage
    batches.after_end                            all is written, its job hasn't ended
"""

import enum
import os
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import cache

import structlog

from tasks import errors

log = structlog.get_logger(__name__)

VARIABLE = "FOREBAY_FAILPOINT"
OF_JOBS = (
    "api.before_commit",
    "api.after_commit_before_response",
    "dispatch.before_send",
    "dispatch.after_send",
    "worker.after_model_ready",
    "worker.after_claim",
    "worker.mid_prefill",
    "worker.mid_generation",
    "worker.after_generate_before_xadd",
    "worker.after_xadd",
    "worker.before_terminal_commit",
    "worker.after_terminal_commit_before_done_event",
    "worker.after_done_before_ack",
    "sweeper.between_update_and_ring",
)
OF_BATCHES = (
    "batches.after_lot",
    "batches.after_part_before_commit",
    "batches.after_part",
    "batches.after_file",
    "batches.after_end",
)
NAMES = (*OF_JOBS, *OF_BATCHES, "families.before_move_on", "files.after_piece", "files.before_erasing")
PAUSE_S = 0.5


class Action(enum.StrEnum):
    KILL = "kill"
    PAUSE = "pause"


@dataclass(slots=True)
class Failpoints:
    """What happens at which passage of which place. Thread-safe."""

    actions: dict[tuple[str, int], Action]
    _passages: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def passed(self, name: str) -> None:
        with self._lock:
            self._passages[name] += 1
            passage = self._passages[name]
        action = self.actions.get((name, passage))
        if action is None:
            return
        log.warning("failpoint", point=name, passage=passage, action=action)
        if action is Action.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(PAUSE_S)


def passed(name: str) -> None:
    """Says that this thread passes the place. Returns, unless the process was told to die there."""
    points = armed()
    if points.actions:
        points.passed(name)


@cache
def armed() -> Failpoints:
    """What this process was told, read once. Raises `SettingsError`."""
    return Failpoints(dict(_parse(part) for part in os.environ.get(VARIABLE, "").split(",") if part))


def _parse(part: str) -> tuple[tuple[str, int], Action]:
    name, _, rest = part.partition(":")
    passage, _, action = rest.partition(":")
    if name not in NAMES or not (passage.isascii() and passage.isdigit()) or action not in ("", *Action):
        raise errors.SettingsError(
            f"settings: {VARIABLE}: {part!r} is not NAME:N or NAME:N:ACTION; see tasks/failpoints.py"
        )
    return (name, int(passage)), Action(action or Action.KILL)
