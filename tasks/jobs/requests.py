"""What a job is asked for, and the plan by which it is written down."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, NewType, Protocol, TypeVar

from db.jobs import LANES as LANES
from tasks.jobs.timing import ANY_TIME, Timing

KindName = NewType("KindName", str)  # of one in `tasks.kinds`


@dataclass(frozen=True, slots=True)
class Stored:
    """A request as it is written down, in JSON: what is asked, and how it is to be done."""

    input: Mapping[str, Any]
    params: Mapping[str, Any]


class Request(Protocol):
    """What a kind of job asks for. Each kind in `tasks.kinds` has its own, and reads what was stored of it."""

    def to_json(self) -> Stored: ...


R = TypeVar("R", bound=Request, covariant=True)


@dataclass(frozen=True, slots=True)
class Submission(Generic[R]):
    """What a client asks for, its shape already checked. `model` None takes the catalogue's default for the kind.

    `webhook` is where this job's end is to be told: `url`, checked, and `events`. `store` False has the job's words
    erased once it has been answered; True keeps it among the stored completions.
    """

    type: str
    model: str | None
    request: R
    lane: str = "interactive"
    priority: int = 5
    metadata: Mapping[str, str] = field(default_factory=dict)
    timing: Timing = ANY_TIME
    webhook: Mapping[str, Any] | None = None
    store: bool | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A job to be written down: what was asked, its first stage and where that waits, the model clients see.

    `job_id` is the id where one was drawn before, `retry_of` the ended job that this one asks again for, and `chances`
    how many of its attempts may be lost, or fail by the system's fault, where that isn't as usual. `conversation_id` is
    where what was said is put when it ends.
    """

    asked: Submission[Request]
    stage: str
    queue: str
    model: str
    job_id: uuid.UUID | None = None
    retry_of: uuid.UUID | None = None
    chances: int | None = None
    conversation_id: uuid.UUID | None = None
