"""What a job is asked for, and the plan by which it is written down."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.jobs.timing import ANY_TIME, Timing


@dataclass(frozen=True, slots=True)
class Submission:
    """What a client asks for, its shape already checked. `model` None takes the catalogue's default for the type.

    `webhook` is where this job's end is to be told: `url`, checked, and `events`.
    """

    type: str
    model: str | None
    input: Mapping[str, Any]
    params: Mapping[str, Any]
    lane: str
    priority: int
    metadata: Mapping[str, str]
    timing: Timing = ANY_TIME
    webhook: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A job to be written down: what was asked, its first stage and where that waits, the model clients see.

    `job_id` is the id where one was drawn before, `retry_of` the ended job that this one asks again for, and `chances`
    how many of its attempts may be lost, or fail by the system's fault, where that isn't as usual.
    """

    asked: Submission
    stage: str
    queue: str
    model: str
    job_id: uuid.UUID | None = None
    retry_of: uuid.UUID | None = None
    chances: int | None = None
