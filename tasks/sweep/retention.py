"""Chore: jobs that ended long ago are forgotten, where the installation doesn't keep them for ever."""

import time
from dataclasses import dataclass

from sqlalchemy import Select

from db import removing as removing_table
from db import rounds
from tasks.jobs import removing
from tasks.sweep.chore import NOTHING, Chore, FollowUp, Sweep

LOOK_EVERY_S = 60.0
_NAME = "retention"
_ROUND_S = 0.3  # so long it removes in one round: the other chores, and the jobs that come meanwhile, have the rest


@dataclass(frozen=True, slots=True)
class Retention:
    """Forgets jobs so long after their ends: some in each round while there are such, and then it looks once a minute.

    By the longest ended first; a job whose webhook is still to be told stays meanwhile.
    """

    kept_s: float

    def forget(self, sweep: Sweep) -> FollowUp:
        with sweep.begin() as session:
            if session.scalar(self.wanted(sweep.lease_s)) is None:
                return NOTHING  # the round began for another chore
        until = time.monotonic() + _ROUND_S
        if removing.forget_due(sweep, self.kept_s, lambda: time.monotonic() < until):
            with sweep.begin() as session:
                rounds.note(session, _NAME)
        return NOTHING

    def wanted(self, _: float) -> Select[int]:
        return rounds.due(_NAME, LOOK_EVERY_S).where(removing_table.any_ended(self.kept_s))


def chore(kept_s: float) -> Chore:
    own = Retention(kept_s)
    return Chore(own.forget, own.wanted)
