"""Whether the database's tables are those that this code works with."""

import time
from collections.abc import Callable

import structlog

from db import revisions
from db.session import Transactions
from tasks import errors

log = structlog.get_logger(__name__)

_AGAIN_S = 1.0  # while they are wrong
_RARELY_S = 60.0  # once they are right


def trouble(sessions: Transactions) -> str | None:
    """Why this code can't work with the tables and what to do, in one line; None when it can.

    Raises SQLAlchemy's errors.
    """
    with sessions.begin() as session:
        return revisions.read(session).trouble


class Watch:
    """What a process knows of the tables it works with. Thread-safe; asks nothing before it is asked.

    The database is asked until the tables are right, then once a minute at most.
    """

    def __init__(self, sessions: Transactions) -> None:
        self._sessions = sessions
        self._known = False
        self._trouble: str | None = None
        self._ask_at = 0.0

    def trouble(self) -> str | None:
        """Why this code can't work with the tables, in one line; None when it can.

        Asks the database only if it hasn't for a second, or for a minute when the tables were right. Raises
        SQLAlchemy's errors.
        """
        now = time.monotonic()
        if self._known and now < self._ask_at:
            return self._trouble
        self._ask_at = now + _AGAIN_S  # meanwhile the others go by what was found before
        found = trouble(self._sessions)
        if found and found != self._trouble:
            log.error("tables_unfit", reason=found)
        self._known, self._trouble = True, found
        self._ask_at = now + (_AGAIN_S if found else _RARELY_S)
        return found

    def require(self) -> None:
        """Raises `TablesUnfit` unless the tables are right. Asks nothing once they were, until `doubt`.

        Raises SQLAlchemy's errors.
        """
        if self._known and self._trouble is None:
            return
        if found := self.trouble():
            raise errors.TablesUnfit(found)

    def doubt(self) -> None:
        """Has the database be asked anew: a statement has missed a table or a column."""
        if self._trouble is None:
            self._known = False


def wait(sessions: Transactions, stopping: Callable[[], bool]) -> None:
    """Returns once the tables are right, or when `stopping` says so. Says once a minute what it waits for.

    Raises `TablesUnfit` for those that a newer version has made, which waiting doesn't mend, and SQLAlchemy's errors.
    """
    say_at = 0.0
    while not stopping():
        with sessions.begin() as session:
            standing = revisions.read(session)
        if standing.trouble is None:
            return
        if not standing.behind:
            raise errors.TablesUnfit(standing.trouble)
        if time.monotonic() >= say_at:
            log.warning("waiting_for_tables", reason=standing.trouble)
            say_at = time.monotonic() + _RARELY_S
        time.sleep(_AGAIN_S)
