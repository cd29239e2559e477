"""How an attempt ends, as its stage says."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.jobs.lifecycle import Status
from tasks.limits.spent import NOTHING, Spent


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: with a result, or with an error. `vectors` (n, d) are a result kept beside the others.

    `spent` is what the job used and wasn't charged for before, over all its attempts. `progress` is how much was done,
    of how much; the prompt's tokens where it isn't given.
    """

    status: Status
    spent: Spent = NOTHING
    result: dict[str, Any] | None = None
    error: tuple[str, str] | None = None
    progress: tuple[int, int] | None = None
    vectors: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Onward:
    """How an attempt ended that was not the job's last: the next stage, where, and what it is handed.

    `spent` is what the job is charged for this stage. With `wait_for_children` the next stage is queued when all
    children of the job have ended; else after so many seconds, if it is to wait.
    """

    stage: str
    queue: str
    stage_input: dict[str, Any] | None = None
    spent: Spent = NOTHING
    wait_for_children: bool = False
    after_s: float = 0.0
