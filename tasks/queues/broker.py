"""Celery as the messenger: one configuration for senders and receivers."""

import uuid
from typing import Any

from celery import Celery

from tasks import ids

RUN = "job.run"
KEY_PREFIX = "forebay:"


def lane(queue: str, lane: str) -> str:
    """Celery's queue for a lane of one of ours."""
    return f"{queue}.{lane}"


def celery_url(url: str) -> str:
    """A Redis URL as Celery spells it: `unix:///run/redis.sock` is `redis+socket:///run/redis.sock` there."""
    return url.replace("unix://", "redis+socket://", 1) if url.startswith("unix://") else url


def configuration(broker_url: str, *, timeout_s: float) -> dict[str, Any]:
    """Celery's settings. `timeout_s` bounds each exchange with the broker. Reasons: docs/adr/0003-celery.md."""
    return {
        "broker_url": celery_url(broker_url),
        "broker_transport_options": {
            "visibility_timeout": 3600,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "socket_timeout": timeout_s,
            "socket_connect_timeout": min(timeout_s, 3),
            "socket_keepalive": True,
            "health_check_interval": 5,
            "global_keyprefix": KEY_PREFIX,
            "queue_order_strategy": "priority",
        },
        "visibility_timeout": 3600,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,
        "task_publish_retry": False,
        "task_ignore_result": True,
        "task_acks_late": True,
        "task_reject_on_worker_lost": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_prefetch_multiplier": 1,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "task_send_sent_event": False,
        "accept_content": ["json"],
        "task_serializer": "json",
        "event_serializer": "json",
    }


def sender(broker_url: str, *, timeout_s: float) -> Celery:
    """An app that only sends, or fails to at the first try. Connects with the first message."""
    app = Celery("forebay", set_as_current=False)
    app.conf.update(configuration(broker_url, timeout_s=timeout_s))
    # Sending without retries still retries to connect, for six seconds, unless the transport is told not to.
    app.conf.broker_transport_options |= {"max_retries": 0}
    return app


def send(app: Celery, job_id: uuid.UUID, queue_name: str) -> None:
    """Sends the wake-up of a job, under the job's own id. Raises kombu's `OperationalError` without a broker."""
    shown = ids.show(job_id)
    app.send_task(RUN, args=[shown], task_id=shown, queue=queue_name, retry=False)


def received(argument: str) -> uuid.UUID:
    """The job that a wake-up names; one that an older version sent has the bare UUID."""
    return uuid.UUID(argument.removeprefix(ids.JOB))
