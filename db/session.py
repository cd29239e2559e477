"""How a process reaches PostgreSQL."""

from contextlib import AbstractContextManager
from typing import Any, Protocol

from psycopg.errors import IdleInTransactionSessionTimeout
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker

Sessions = sessionmaker[Session]


class Transactions(Protocol):
    """Where transactions come from: `Sessions`, or what stands before them."""

    def begin(self) -> AbstractContextManager[Session]:
        """A session, committed at the block's end, and undone where it raises."""


class Table(DeclarativeBase):
    """What every table of ours derives from."""


def open_engine(
    url: str,
    *,
    pool_size: int,
    statement_timeout_s: float = 10,
    lock_timeout_s: float | None = None,
    pool_timeout_s: float = 0.5,
) -> Engine:
    """A pool of at most `pool_size` connections to `url` (any libpq form, `postgresql://…`). Connects lazily.

    A statement that waits for a lock for `lock_timeout_s` fails; without it, for the time of any statement. A caller
    that finds the pool empty for `pool_timeout_s` gets `sqlalchemy.exc.TimeoutError` instead of a queue.
    """
    milliseconds = int(statement_timeout_s * 1000)
    limits = {
        "statement_timeout": milliseconds,
        "lock_timeout": milliseconds if lock_timeout_s is None else int(lock_timeout_s * 1000),
        "idle_in_transaction_session_timeout": 5000,
    }
    options: dict[str, Any] = {
        "connect_timeout": 2,
        "options": " ".join(f"-c {name}={value}" for name, value in limits.items()),
        # A server that vanished without a word is noticed in seconds, not in the kernel's hours.
        "tcp_user_timeout": 5000,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 2,
        "prepare_threshold": 3,
    }
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_timeout_s,
        pool_use_lifo=True,
        connect_args=options,
        hide_parameters=True,  # an error's text goes into logs, and parameters hold what tenants said
    )
    event.listen(engine, "handle_error", _lost, retval=True)
    return engine


def _lost(context: ExceptionContext) -> OperationalError | None:
    """A process that stood still within a transaction, on a machine with too much to do, has lost its connection.

    psycopg calls that error internal, as if it were somebody's mistake: it is made the one of a lost connection.
    """
    if not isinstance(context.original_exception, IdleInTransactionSessionTimeout):
        return None
    context.is_disconnect = True
    return OperationalError(context.statement, None, context.original_exception, connection_invalidated=True)


def open_sessions(engine: Engine) -> Sessions:
    """Sessions whose objects stay readable after the commit: views are made of them then."""
    return sessionmaker(engine, expire_on_commit=False)
