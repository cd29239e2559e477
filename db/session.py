"""How a process reaches PostgreSQL."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import psycopg
from psycopg.errors import IdleInTransactionSessionTimeout
from psycopg.rows import dict_row
from sqlalchemy import ClauseElement, Engine, SelectBase, create_engine, event, literal_column, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker

_INT_DIGITS = 19  # or 18 and a sign: they fit into 64 bits


class Sessions(sessionmaker[Session]):
    """Where sessions come from."""

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """A session whose transaction begins with its first statement. It is committed at the block's end, and undone
        where the block raises. A block that sends all its statements by `alone` never begins one.
        """
        with self() as session:
            try:
                yield session
                session.commit()
            finally:
                session.rollback()  # a commit that was refused leaves a transaction, which closing doesn't end


Values = Mapping[str, Any]
Row = Mapping[str, Any]
Send = Callable[[str, Values], Sequence[Row]]


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
        json_deserializer=_read,
        hide_parameters=True,  # an error's text goes into logs, and parameters hold what tenants said
    )
    event.listen(engine, "handle_error", _lost, retval=True)
    return engine


def _number(digits: str) -> int | float:
    """PostgreSQL keeps 1e25 as the twenty-six digits that it stands for, which no writer of JSON takes for a number of
    64 bits; what is too long for one was written as a real."""
    return int(digits) if len(digits) <= _INT_DIGITS else float(digits)


_JSON = json.JSONDecoder(parse_int=_number)


def _read(told: str | bytes) -> Any:
    return _JSON.decode(told if isinstance(told, str) else told.decode())


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
    return Sessions(engine, expire_on_commit=False)


def alone(session: Session) -> Send:
    """Has each statement be a transaction of its own, beside the session's, on a connection of the same pool.

    It is committed when it returns; after an error nobody knows whether it was. Raises SQLAlchemy's errors.
    """
    engine = session.get_bind().engine

    def send(statement: str, values: Values) -> Sequence[Row]:
        try:
            return _sent(engine, statement, values)
        except psycopg.Error as error:
            raise _as_sqlalchemy(engine, statement, error) from error

    return send


def within(session: Session) -> Send:
    """Sends statements in the session's transaction. Raises SQLAlchemy's errors."""

    def send(statement: str, values: Values) -> Sequence[Row]:
        session.flush()
        return [dict(row) for row in session.connection().exec_driver_sql(statement, dict(values)).mappings()]

    return send


def _sent(engine: Engine, statement: str, values: Values) -> Sequence[Row]:
    pooled = engine.raw_connection()
    try:
        connection = pooled.driver_connection
        assert isinstance(connection, psycopg.Connection)
        connection.autocommit = True
        with connection.cursor(row_factory=dict_row) as cursor:
            found = cursor.execute(statement.encode(), values).fetchall()
        connection.autocommit = False
        return found
    except BaseException:
        pooled.invalidate()  # it may be lost, or still be one that commits by itself
        raise
    finally:
        pooled.close()


def _as_sqlalchemy(engine: Engine, statement: str, error: psycopg.Error) -> BaseException:
    """The error as SQLAlchemy raises it. Where the server has gone, the pool's other connections are stale too."""
    state = error.sqlstate or ""
    lost = isinstance(error, psycopg.OperationalError) and (not state or state.startswith(("08", "57P")))
    if lost:
        engine.dispose()
    return DBAPIError.instance(statement, None, error, psycopg.Error, hide_parameters=True, connection_invalidated=lost)


def as_sql(what: ClauseElement) -> str:
    """The text of a condition or a query, for a statement that is written out: the rule stays where it is said.

    A condition is one on the rows of its tables, as they are named: what it looks up for a row is for that row.
    """
    whole = what if isinstance(what, SelectBase) else select(literal_column("1")).where(what)  # type: ignore[arg-type]
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    text = str(whole.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    return f"({text if whole is what else text.partition('WHERE ')[2]})"
