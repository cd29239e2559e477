"""What stands in Celery's place where a test only wants to know what was sent."""

import json
from dataclasses import dataclass, field

import redis
from kombu.exceptions import OperationalError

from tasks import ids


@dataclass(slots=True)
class Post:
    """A sender that keeps what it is given; given a client, it also puts it into the real Redis, as kombu would.

    `sent` are pairs of a job's id and the queue.
    """

    client: redis.Redis | None = None
    sent: list[tuple[str, str]] = field(default_factory=list)
    broken: bool = False

    def send_task(self, name: str, *, args: list[str], task_id: str, queue: str, retry: bool) -> None:
        if self.broken:
            raise OperationalError("no broker")
        self.sent.append((str(ids.parse(args[0])), queue))
        if self.client is not None:
            self.client.lpush(f"forebay:{queue}", json.dumps([name, args, retry]))
