"""What every kind of job says of itself."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from sqlalchemy.orm import Session

from db.jobs import Job
from tasks.documents.questions import Passage
from tasks.jobs.requests import Plan, Request, Stored, Submission
from tasks.jobs.view import JobView
from tasks.keys import Caller
from tasks.kinds.generation import Answer, Generation
from tasks.models.catalog import Catalog

R = TypeVar("R", bound=Request)


class Measure(Protocol):
    """A model, as far as what is put to it depends on it."""

    @property
    def instructed(self) -> bool:
        """Whether it was trained to do what it is told; others are shown how it is done."""

    def __call__(self, asked: Generation) -> int:
        """How many tokens it reads of this."""


class Kind(ABC, Generic[R]):
    """A kind of job, with a request of its own type."""

    name: ClassVar[str]
    serves: ClassVar[str | None] = None  # what its model must be able to serve; None where it needs no model

    @abstractmethod
    def parse(self, stored: Stored) -> R:
        """The typed request that is stored, by this version or by an earlier one. `POST /v1/jobs` has its shape too."""

    @abstractmethod
    def plan(self, session: Session, models: Catalog, caller: Caller, asked: Submission[R]) -> Plan:
        """The job's first stage, its queue and its model. Raises `ModelUnknown`, `PromptTooLong`, `InvalidField`."""

    def again(self, session: Session, models: Catalog, caller: Caller, asked: Submission[R], old: Job) -> Plan:
        """The plan of a retry of a job that has ended. Raises `Conflict` where nothing is left of it to do."""
        del old
        return self.plan(session, models, caller, asked)

    def whole(self, session: Session, job: JobView) -> Mapping[str, Any] | None:
        """The job's result with all that belongs to it, of which lists and events only have a summary."""
        del session
        return job.result


@dataclass(frozen=True, slots=True)
class Composed:
    """What is put to the model; and the question in it, and the passages, where it was made from some.

    `plain` says of a prompt that names of special tokens in it are words, and that the answer begins with one.
    """

    generation: Generation
    passages: list[Passage] | None = None
    question: str | None = None
    plain: bool = False


class Answering(Kind[R]):
    """A kind whose last stage has a model write the answer."""

    @abstractmethod
    def compose(self, request: R, stage_input: Mapping[str, Any], context: int, measure: Measure) -> Composed:
        """What is put to a model of so many tokens' context: equal for every attempt.

        `stage_input` is what an earlier stage left. Raises what `measure` raises, and `ContextLengthExceeded`.
        """

    def singles(self, request: R) -> Sequence[R]:
        """A request for several answers, one for one: each becomes a job, in this order."""
        return [request]

    def choices(self, request: R) -> tuple[int, int | None]:
        """How many of these answer one prompt, and how many of them, the likeliest, are kept; None for all."""
        del request
        return 1, None

    @abstractmethod
    def result(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """The job's result, as clients are shown it."""
