"""What Celery and kombu get wrong for a worker whose jobs outlive connections, and what we have in its place.

Each piece says why it is there. All were seen in Celery 5.7.0 and kombu 5.7.0; `tests/workers/test_transport.py` fails
for each that a later version no longer needs, or no longer calls.
"""

from typing import Any

from celery.app.amqp import AMQP
from celery.worker import state
from kombu.connection import Connection
from kombu.transport import redis


class ForgivingChannel(redis.Channel):
    """A channel that leaves at its end what it holds: kombu would put it back into the queue, by a connection that is
    closed already when the broker was lost. The sweep sends those jobs again.
    """

    do_restore = False


class Transport(redis.Transport):
    """Kombu's Redis with such channels."""

    Channel = ForgivingChannel


class SteadyConnection(Connection):
    """A connection that is tried again every two seconds: kombu's pauses grow to half a minute, and so long a worker
    would stand still though the broker is back. Celery has no setting for them.
    """

    def get_transport_cls(self) -> type[Transport]:
        """Ours, whatever the address says: our broker is a Redis."""
        return Transport

    def ensure_connection(self, *args: Any, **options: Any) -> Any:
        """As kombu's, but for the pauses."""
        return super().ensure_connection(*args, **options, interval_step=0)  # type: ignore[no-untyped-call]


class Messaging(AMQP):  # type: ignore[misc]
    """The part of a Celery app that makes its connections: `Celery(amqp=Messaging)`."""

    Connection = SteadyConnection


def stop() -> None:
    """Ends this worker, with a status that isn't zero, as soon as its consumer looks.

    Celery has no call for that from inside a task; its own loop looks at this variable.
    """
    state.should_stop = 1
