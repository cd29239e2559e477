"""Chores: jobs that ended long ago are forgotten, where the installation doesn't keep them for ever, and what
conversations have of their words."""

import time
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Select

from db import removing as removing_table
from db import rounds
from tasks.conversations import conversations
from tasks.jobs import removing
from tasks.sweep import forgetting
from tasks.sweep.chore import NOTHING, Chore, FollowUp, Sweep

LOOK_EVERY_S = 60.0
_NAME, _CONVERSATIONS = "retention", "conversations"
_CONVERSATIONS_AT_ONCE = 5  # with up to 10,000 items each, which one statement deletes
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
                return NOTHING  # PostgreSQL didn't say which chores are wanted
        until = time.monotonic() + _ROUND_S
        if removing.forget_due(sweep, self.kept_s, lambda: time.monotonic() < until):
            with sweep.begin() as session:
                rounds.note(session, _NAME)
        return NOTHING

    def wanted(self, _: float) -> Select[int]:
        return rounds.due(_NAME, LOOK_EVERY_S).where(removing_table.any_ended(self.kept_s))


@dataclass(frozen=True, slots=True)
class Unused:
    """Forgets conversations that nothing was put into for so long, of some tenants at a time."""

    kept_s: float

    def forget(self, sweep: Sweep) -> FollowUp:
        forget = partial(conversations.forget, kept_s=self.kept_s)
        return forgetting.all_of_some(sweep, self.wanted, _CONVERSATIONS, forget, _CONVERSATIONS_AT_ONCE)

    def wanted(self, _: float) -> Select[int]:
        return rounds.due(_CONVERSATIONS, LOOK_EVERY_S)


def chores(kept_s: float) -> tuple[Chore, ...]:
    jobs, unused = Retention(kept_s), Unused(kept_s)
    return Chore(jobs.forget, jobs.wanted, by_itself=True), Chore(unused.forget, unused.wanted, by_itself=True)
