"""The contract between the sweep and its chores: what a chore is given, and what it hands back."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import redis
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.session import Sessions
from tasks.jobs.settlement import Closing
from tasks.queues.window import WakeUp


@dataclass(frozen=True, slots=True)
class Sweep:
    """One round of the sweep, as each chore is given it.

    `client` is the Redis of the streams, `queues` the broker's. `steady` says that rounds have reached PostgreSQL
    without a break for a whole lease, and that its clock wasn't set meanwhile: only then does silence prove a death.
    """

    sessions: Sessions
    client: redis.Redis
    queues: redis.Redis
    lease_s: float
    ttl_s: int
    steady: bool

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """A transaction in which a statement that waits for a lock for half a second fails.

        After a longer wait a chore would judge heartbeats by a clock that had gone on meanwhile (docs/adr/0006).
        """
        with self.sessions.begin() as session:
            session.execute(text("SET LOCAL lock_timeout = '500ms'"))
            yield session


@dataclass(frozen=True, slots=True)
class FollowUp:
    """What must follow a chore's commits: messages to send, queues to refill, ends to announce."""

    wake_ups: Sequence[WakeUp] = ()
    queues: Sequence[str] = ()
    ends: Sequence[Closing] = ()


NOTHING = FollowUp()

# A chore finds what should be moving and isn't, and moves it: in transactions of its own (`Sweep.begin`), all committed
# when it returns. It does at most so much a round, in turns between tenants, so that a round is over before the next
# is due. It is safe to repeat, and beside another process's. It sends, refills and announces nothing: it returns what
# must follow. When it raises, the others of the round go on all the same.
Chore = Callable[[Sweep], FollowUp]
