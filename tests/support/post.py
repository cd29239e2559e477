"""What stands in the sender's place where a test only wants to know what was sent."""

import uuid
from dataclasses import dataclass, field

import redis

from tasks.queues import broker


@dataclass(slots=True)
class Post:
    """A sender that keeps what it is given; given a client, it also puts it into the real Redis, as the sender would.

    `sent` are pairs of a job's id and the queue.
    """

    client: redis.Redis | None = None
    sent: list[tuple[str, str]] = field(default_factory=list)
    announced: list[str] = field(default_factory=list)
    broken: bool = False

    def announce(self, queue: str) -> bool:
        """Nobody listens."""
        self.announced.append(queue)
        if self.broken:
            raise redis.ConnectionError("no broker")
        return False

    def send(self, job_id: uuid.UUID, queue_name: str) -> None:
        if self.broken:
            raise redis.ConnectionError("no broker")
        self.sent.append((str(job_id), queue_name))
        if self.client is not None:
            self.client.lpush(broker.KEY_PREFIX + queue_name, broker.message(job_id, queue_name))
