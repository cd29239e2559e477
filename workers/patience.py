"""Patience with PostgreSQL: it is waited for while it is away, and asked again only so often when it refuses."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.session import told

log = structlog.get_logger(__name__)

Errors = tuple[type[SQLAlchemyError], ...]
T = TypeVar("T")

ANY: Errors = (SQLAlchemyError,)
# What a PostgreSQL raises that is away, overloaded or locked. Other errors are the statement's own.
PASSING: Errors = (OperationalError, InterfaceError, PoolTimeout)

_AWAY = ("08", "57P")  # PostgreSQL's classes of errors: lost connections, a server that stops or starts


@dataclass(frozen=True, slots=True)
class Patience:
    """`refusals` of a statement are borne, by a PostgreSQL that is there; before each new try is a pause."""

    refusals: int = 5
    pause_s: float = 0.5

    def keep_trying(self, act: Callable[[], T], bears: Errors, event: str, check: Callable[[], None]) -> T:
        """What `act` returns, which is called again after each of the errors that it `bears`, logged as `event`.

        All that `act` writes must be such as may be repeated. Raises its last error once PostgreSQL has refused it too
        often, and what `check` raises, which is asked before each new try.
        """
        refusals = 0
        while True:
            try:
                return act()
            except bears as error:
                log.warning(event, error=told(error))
                check()
                refusals += refused(error)
                if refusals > self.refusals:
                    raise
            time.sleep(self.pause_s)


def refused(error: SQLAlchemyError) -> bool:
    """Whether the statement itself is at fault: PostgreSQL answered it with an error, or it couldn't even be sent."""
    state = getattr(getattr(error, "orig", None), "sqlstate", None) or ""
    return not state.startswith(_AWAY) if state else not isinstance(error, PASSING)
