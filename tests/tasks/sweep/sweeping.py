"""Sweepers for tests: real, but for the post."""

import json
import time
from dataclasses import dataclass, field

import redis
from kombu.exceptions import OperationalError

from db.session import Sessions
from tasks import ids
from tasks.queues.dispatch import Dispatcher
from tasks.sweep.sweeper import Sweeper
from tests import tables


@dataclass(slots=True)
class Post:
    """A sender that keeps what it is given, as kombu would put it into a queue of the real Redis."""

    client: redis.Redis
    sent: list[tuple[str, str]] = field(default_factory=list)
    broken: bool = False

    def send_task(self, name: str, *, args: list[str], task_id: str, queue: str, retry: bool) -> None:
        if self.broken:
            raise OperationalError("no broker")
        self.sent.append((str(ids.parse(args[0])), queue))
        self.client.lpush(f"forebay:{queue}", json.dumps([name, args, retry]))


def made(sessions: Sessions, client: redis.Redis, post: Post, lease_s: float = tables.LEASE_S) -> Sweeper:
    return Sweeper(Dispatcher(post, sessions, lease_s), client, client, lease_s, ttl_s=60)


def sweep(sweeper: Sweeper) -> None:
    """One round of a sweeper that has reached PostgreSQL without a break for longer than a lease."""
    sweeper._swept_at = time.monotonic()
    sweeper._steady_since = sweeper._swept_at - sweeper.lease_s - 1
    sweeper.sweep()
