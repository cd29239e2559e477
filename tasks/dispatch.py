"""Dispatch: after the commit, the wake-ups go out. Best effort and bounded in time; the sweep mends the rest."""

from collections.abc import Iterable
from dataclasses import dataclass

import structlog
from celery import Celery
from kombu.exceptions import OperationalError

from db.session import Sessions
from tasks import broker, window
from tasks.window import Ticket

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Refills windows and sends. Safe to share between threads."""

    app: Celery
    sessions: Sessions
    lease_s: float

    def refill(self, model: str) -> bool:
        """Looks whether the model's window has room, in a transaction of its own, and sends what moved into it.

        Raises SQLAlchemy's errors when PostgreSQL can't be reached; False says that the broker couldn't be.
        """
        with self.sessions.begin() as session:
            tickets = window.refill(session, model, self.lease_s)
        return self.send(tickets)

    def send(self, tickets: Iterable[Ticket]) -> bool:
        """Sends until the broker fails once, which False tells: what is left then is the sweep's."""
        for ticket in tickets:
            try:
                broker.send(self.app, ticket.job_id, ticket.queue)
            except (OperationalError, OSError) as error:
                log.warning("broker_unreachable", error=str(error), job_id=str(ticket.job_id))
                return False
        return True
