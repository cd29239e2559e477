"""Celery, as workers and Flower use it."""

from typing import Any

from celery import Celery

from tasks import settings
from tasks.queues import broker
from workers import transport

TIMEOUT_S = 5.0  # of each exchange with the broker


def make() -> Celery:
    """An app that knows our broker, but no task. Reads the environment only when it is first asked for a setting."""
    app = Celery("forebay", set_as_current=False, amqp=transport.Messaging)
    app.add_defaults(_configuration)
    return app


def _configuration() -> dict[str, Any]:
    return broker.configuration(settings.read().broker_url, timeout_s=TIMEOUT_S)
