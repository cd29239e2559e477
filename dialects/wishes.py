"""What a call wants beside what it asks for: how long to wait, and how its job is queued."""

from dataclasses import dataclass

from tasks.jobs import timing
from tasks.jobs.timing import Timing


@dataclass(frozen=True, slots=True)
class Wishes:
    """`wait_s` is how long the answer is waited for; then, with `else_job`, the job itself is the answer."""

    wait_s: float
    else_job: bool
    lane: str = "interactive"
    priority: int = 5
    timing: Timing = timing.ANY_TIME

    @property
    def store(self) -> bool | None:
        """What isn't said to be stored is erased when its stream expires; a job that is the answer itself is kept."""
        return None if self.else_job else False
