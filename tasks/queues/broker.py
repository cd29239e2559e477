"""Celery as the messenger: how workers receive, and messages as Celery would send them."""

import base64
import json
import re
import uuid
from typing import Any, cast

import redis

from tasks import ids
from tasks.streams import stream

RUN = "job.run"
KEY_PREFIX = "forebay:"
_OF_JOB = re.compile(rb'"id": ?"((?:job_)?[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12})"')
_SENDING_THREADS = 4  # the refiller's, the sweep's, and room
_BODY = b'[["%b"], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'
_HEADERS: dict[str, Any] = {
    "lang": "py",
    "task": RUN,
    "id": "%(id)s",
    "shadow": None,
    "eta": None,
    "expires": None,
    "group": None,
    "group_index": None,
    "retries": 0,
    "timelimit": [None, None],
    "root_id": "%(id)s",
    "parent_id": None,
    "argsrepr": "['%(id)s']",
    "kwargsrepr": "{}",
    "origin": "forebay",
    "ignore_result": None,
    "replaced_task_nesting": 0,
    "stamped_headers": None,
    "stamps": {},
}
_PROPERTIES = {
    "correlation_id": "%(id)s",
    "delivery_mode": 2,
    "delivery_info": {"exchange": "", "routing_key": "%(queue)s"},
    "priority": 0,
    "body_encoding": "base64",
    "delivery_tag": "%(tag)s",
}
_MESSAGE = json.dumps(
    {
        "body": "%(body)s",
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": _HEADERS,
        "properties": _PROPERTIES,
    }
)


def lane(queue: str, lane: str) -> str:
    """Celery's queue for a lane of one of ours."""
    return f"{queue}.{lane}"


def coming(queue: str) -> str:
    """The channel on which a queue's workers hear, while they run batch work, of interactive jobs on the way."""
    return f"{KEY_PREFIX}coming.{queue}"


def celery_url(url: str) -> str:
    """A Redis URL as Celery spells it: `unix:///run/redis.sock` is `redis+socket:///run/redis.sock` there."""
    return url.replace("unix://", "redis+socket://", 1) if url.startswith("unix://") else url


def configuration(broker_url: str, *, timeout_s: float) -> dict[str, Any]:
    """A worker's settings of Celery; their reasons are in docs/adr/0003-celery.md.

    `timeout_s` bounds each exchange with the broker.
    """
    return {
        "broker_url": celery_url(broker_url),
        "broker_transport_options": {
            "ack_emulation": False,
            "socket_timeout": timeout_s,
            "socket_connect_timeout": min(timeout_s, 3),
            "socket_keepalive": True,
            "health_check_interval": 5,
            "global_keyprefix": KEY_PREFIX,
            "queue_order_strategy": "priority",
        },
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,
        "task_ignore_result": True,
        "task_acks_late": True,
        "task_reject_on_worker_lost": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_prefetch_multiplier": 1,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "accept_content": ["json"],
        "task_serializer": "json",
        "event_serializer": "json",
    }


def message(job_id: uuid.UUID, queue_name: str) -> str:
    """The wake-up of a job as kombu lays it into Redis: Celery's protocol 2, the task's id the job's own."""
    shown = ids.show(job_id)
    body = base64.b64encode(_BODY % shown.encode()).decode()
    return _MESSAGE % {"id": shown, "queue": queue_name, "tag": uuid.uuid4(), "body": body}


def waiting(client: redis.Redis, queue_name: str) -> set[uuid.UUID]:
    """The jobs whose wake-ups wait in this Redis for a worker: hardly more than a window. Raises redis-py's errors."""
    messages = cast(list[bytes], client.lrange(KEY_PREFIX + queue_name, 0, -1))
    found = [_OF_JOB.search(message) for message in messages]
    return {received(each[1].decode()) for each in found if each}


def forget_bindings(client: redis.Redis) -> None:
    """Forgets who listens to what is told to all workers: kombu keeps a line for each that ever did.

    Such messages go by PUBLISH, whatever these sets hold; and who lives enters itself again within twenty minutes. One
    that was killed never leaves, and in containers each has a name of its own. Raises redis-py's errors.
    """
    client.unlink(*_TOLD_TO_ALL)


_TOLD_TO_ALL = tuple(f"{KEY_PREFIX}_kombu.binding.{exchange}" for exchange in ("celery.pidbox", "celeryev"))


class Sender:
    """Sends wake-ups by one command each. Connects with the first. Thread-safe."""

    def __init__(self, broker_url: str, *, timeout_s: float) -> None:
        """`timeout_s` bounds each try, of which there is one a wake-up."""
        self._client = stream.connect(broker_url, timeout_s=timeout_s, max_connections=_SENDING_THREADS)

    def send(self, job_id: uuid.UUID, queue_name: str) -> None:
        """Sends the wake-up of a job. Raises redis-py's `RedisError` where Redis doesn't take it."""
        self._client.lpush(KEY_PREFIX + queue_name, message(job_id, queue_name))

    def announce(self, queue: str) -> bool:
        """Tells workers of the queue that an interactive job is on its way; whether any listened. Raises `RedisError`
        as `send` does.
        """
        return bool(self._client.publish(coming(queue), b""))

    def close(self) -> None:
        self._client.close()


def received(argument: str) -> uuid.UUID:
    """The job that a wake-up names; one that an older version sent has the bare UUID."""
    return uuid.UUID(argument.removeprefix(ids.JOB))
