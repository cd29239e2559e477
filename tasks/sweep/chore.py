"""The contract between the sweep and its chores: what a chore is given, and what it hands back."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import redis
from sqlalchemy import SelectBase
from sqlalchemy.orm import Session

from db.session import Sessions
from tasks.files.stores import Stores
from tasks.jobs.settlement import Closing
from tasks.queues.window import WakeUp


@dataclass(frozen=True, slots=True)
class Sweep:
    """One round of the sweep, as each chore is given it.

    `client` is the Redis of the streams, `queues` the broker's. `steady` says that rounds have reached PostgreSQL
    without a break for a whole lease, and that its clock wasn't set meanwhile: only then does silence prove a death.
    `stores` are where the bytes of files are kept. `kept_s` is how long jobs are kept after their ends, None for ever.
    """

    sessions: Sessions
    client: redis.Redis
    queues: redis.Redis
    lease_s: float
    ttl_s: int
    steady: bool
    stores: Stores
    kept_s: float | None = None

    def begin(self) -> AbstractContextManager[Session]:
        """A transaction in which a statement that waits for a lock for long fails (half a second).

        After a longer wait a chore would judge heartbeats by a clock that had gone on meanwhile (docs/adr/0006).
        """
        return self.sessions.begin()


@dataclass(frozen=True, slots=True)
class FollowUp:
    """What must follow a chore's commits: messages to send, queues to refill, ends to announce."""

    wake_ups: Sequence[WakeUp] = ()
    queues: Sequence[str] = ()
    ends: Sequence[Closing] = ()


NOTHING = FollowUp()


@dataclass(frozen=True, slots=True)
class Chore:
    """Something that the sweep looks after.

    `act` finds what should be moving and isn't, and moves it: in transactions of its own (`Sweep.begin`), all committed
    when it returns. It does at most so much a round, in turns between tenants, so that a round is over before the next
    is due. It is safe to repeat, and beside another process's. It sends, refills and announces nothing: it returns what
    must follow. When it raises, the others of the round go on all the same.

    `wanted` makes of the lease's seconds the query that finds a row when there is something to do. It runs every
    second, so it must cost little however many jobs there are.

    For a chore `by_itself` no other chore makes work: a round has it only where it is wanted itself.
    """

    act: Callable[[Sweep], FollowUp]
    wanted: Callable[[float], SelectBase]
    by_itself: bool = False
