"""How an attempt ends, as its stage says."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.jobs.lifecycle import Status


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: with a result, or with an error. `vectors` (n, d) are a result kept beside the others.

    `progress` is how much was done, of how much; the prompt's tokens where it isn't given.
    """

    status: Status
    prompt_tokens: int
    completion_tokens: int
    result: dict[str, Any] | None = None
    error: tuple[str, str] | None = None
    progress: tuple[int, int] | None = None
    vectors: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Onward:
    """How an attempt ended that was not the job's last: the next stage, where, and what it is handed."""

    stage: str
    queue: str
    stage_input: dict[str, Any] | None = None
    embedding_tokens: int | None = None
