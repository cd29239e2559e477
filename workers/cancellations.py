"""Cancellations, as they are told over Redis. What is missed there, the next heartbeat finds in PostgreSQL."""

import uuid
from typing import Any

from tasks.jobs import endings
from workers.attempt import Stop
from workers.worker import Worker

LISTEN_S = 1.0


def listen(worker: Worker) -> None:
    """Stops the runs of jobs that somebody else has ended, until the worker is gone. Raises redis-py's errors."""
    pubsub: Any = worker.client.pubsub
    with pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(endings.CANCELS)
        while not worker.gone.is_set():
            message = channel.get_message(timeout=LISTEN_S)
            if message:
                worker.stop(uuid.UUID(hex=message["data"].decode()), Stop.ENDED)
