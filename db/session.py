"""How a process reaches PostgreSQL."""

import json
import select as polling
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import psycopg
from psycopg.errors import IdleInTransactionSessionTimeout
from psycopg.rows import dict_row
from sqlalchemy import ClauseElement, Connection, Engine, SelectBase, create_engine, event, literal_column, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError, OperationalError, StatementError
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

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


# A server that vanished without a word is noticed in seconds, not in the kernel's hours.
_KEPT_ALIVE = {
    "connect_timeout": 2,
    "tcp_user_timeout": 5000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
}


def open_engine(
    url: str,
    *,
    pool_size: int,
    statement_timeout_s: float = 10,
    lock_timeout_s: float | None = None,
    pool_timeout_s: float = 0.5,
    by_transaction: bool = False,
    name: Callable[[], str] = lambda: "forebay",
) -> Engine:
    """A pool of at most `pool_size` connections to `url` (any libpq form, `postgresql://…`). Connects lazily.

    A statement that waits for a lock for `lock_timeout_s` fails; without it, for the time of any statement. A caller
    that finds the pool empty for `pool_timeout_s` gets `sqlalchemy.exc.TimeoutError` instead of a queue. One whose
    connection the server has closed meanwhile gets another, and only hears of it where the server isn't back.

    With `by_transaction` a pooler stands between that gives each transaction whichever connection is free: nothing is
    prepared, and nothing set for longer than a transaction. PostgreSQL shows connections under the `name` that is
    asked for when they are made.
    """
    limits = _limits(statement_timeout_s, statement_timeout_s if lock_timeout_s is None else lock_timeout_s)
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_timeout_s,
        pool_use_lifo=True,
        connect_args=_KEPT_ALIVE | {"prepare_threshold": None if by_transaction else 3},
        json_deserializer=_read,
        hide_parameters=True,  # an error's text goes into logs, and parameters hold what tenants said
    )
    event.listen(engine, "checkout", lambda connection, record, _: _refuse_closed(connection, record))
    event.listen(engine, "do_connect", lambda _, __, ___, given: given.update(application_name=name()))
    if by_transaction:
        local = _setting(limits, local=True)
        event.listen(engine, "begin", lambda connection: _begun(connection, local))
        engine.update_execution_options(**{_LOCAL: local})
    else:
        # Not as options of the connection's beginning, which PgBouncer refuses.
        event.listen(engine, "connect", lambda connection, _: _set_up(connection, _setting(limits, local=False)))
    event.listen(engine, "handle_error", _lost, retval=True)
    return engine


_LOCAL = "forebay_local"  # an engine's option: the statement without which a transaction of it has no limits


def _limits(statement_s: float, lock_s: float) -> dict[str, int]:
    """PostgreSQL's settings, in milliseconds."""
    return {
        "statement_timeout": int(statement_s * 1000),
        "lock_timeout": int(lock_s * 1000),
        "idle_in_transaction_session_timeout": 5000,
    }


def _setting(limits: Mapping[str, int], *, local: bool) -> str:
    given = (f"set_config('{name}', '{value}', {str(local).lower()})" for name, value in limits.items())
    return f"SELECT {', '.join(given)}"


def _set_up(connection: psycopg.Connection, statement: str) -> None:
    """Sets the limits of a new connection, for as long as it lives."""
    connection.autocommit = True
    connection.execute(statement.encode())
    connection.autocommit = False


# Where a system doesn't tell a connection's end from what has come by it, both are an end. Nothing comes unasked but an
# end and, very rarely, a setting that an operator changed: then connections are made anew for nothing.
_ENDED = getattr(polling, "POLLRDHUP", polling.POLLIN)


_USED = "forebay_used"  # noted on a connection, for as long as it lives


def _refuse_closed(connection: psycopg.Connection, record: ConnectionPoolEntry) -> None:
    """A look at the socket, which takes three microseconds. The pool's other connections are looked at when they are
    wanted: where only this one was closed, they are as good as before.

    Raises `DisconnectionError`, by which SQLAlchemy makes the connection anew; psycopg's error where it had just been
    made: then the server, or a pooler before it, is away.
    """
    used_before, record.info[_USED] = record.info.get(_USED, False), True
    look = polling.poll()
    if not connection.closed:
        look.register(connection.fileno(), _ENDED)
    if connection.closed or look.poll(0):
        if used_before:
            raise DisconnectionError
        raise psycopg.OperationalError("the server closed the connection as soon as it was made")


def _begun(connection: Connection, statement: str) -> None:
    """Sets the limits of the transaction that begins, unless the connection commits each statement by itself."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    if not driver.autocommit:
        connection.exec_driver_sql(statement)


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
    local: str | None = engine.get_execution_options().get(_LOCAL)

    def send(statement: str, values: Values) -> Sequence[Row]:
        pooled = None
        try:
            pooled = engine.raw_connection()
            return _sent(pooled, local, statement, values)
        except psycopg.Error as error:
            raise _as_sqlalchemy(engine if pooled else None, statement, error) from error

    return send


def within(session: Session) -> Send:
    """Sends statements in the session's transaction. Raises SQLAlchemy's errors."""

    def send(statement: str, values: Values) -> Sequence[Row]:
        session.flush()
        return [dict(row) for row in session.connection().exec_driver_sql(statement, dict(values)).mappings()]

    return send


def _sent(pooled: PoolProxiedConnection, local: str | None, statement: str, values: Values) -> Sequence[Row]:
    try:
        connection = pooled.driver_connection
        assert isinstance(connection, psycopg.Connection)
        connection.autocommit = True
        with connection.cursor(row_factory=dict_row) as cursor:
            if local:
                # Sent together, the two are one transaction, and one round trip.
                with connection.pipeline():
                    connection.execute(local.encode())
                    cursor.execute(statement.encode(), values)
            else:
                cursor.execute(statement.encode(), values)
            found = cursor.fetchall()
        connection.autocommit = False
        return found
    except BaseException:
        pooled.invalidate()  # it may be lost, or still be one that commits by itself
        raise
    finally:
        pooled.close()


def _as_sqlalchemy(engine: Engine | None, statement: str, error: psycopg.Error) -> BaseException:
    """The error as SQLAlchemy raises it. Where the `engine` had a connection and the server has gone, the pool's other
    connections are stale too."""
    state = error.sqlstate or ""
    lost = isinstance(error, psycopg.OperationalError) and (not state or state.startswith(("08", "57P")))
    if lost and engine:
        engine.dispose()
    return DBAPIError.instance(statement, None, error, psycopg.Error, hide_parameters=True, connection_invalidated=lost)


# Errors whose message names tables, roles, limits and files, and never a value of a row or of a parameter: of
# connections, rights, transactions, memory and disks, of an operator's doing, and of a schema that is another.
_QUOTES_NOTHING = ("08", "25", "28", "3D", "40", "53", "55", "57", "58", "42501", "42703", "42704", "42883", "42P01")


def told(error: BaseException) -> str:
    """What a log may be told of an error: what PostgreSQL says of it, but nothing that could be of a tenant's.

    A message that may quote a value is left out, and so are all details. Of other errors than a database's, the text.
    """
    cause = getattr(error, "orig", None) or error
    if not isinstance(cause, psycopg.Error):
        return type(cause).__name__ if isinstance(error, StatementError) else _in_a_line(str(error))
    kind, state = type(cause).__name__, cause.sqlstate or ""
    if state.startswith(_QUOTES_NOTHING):
        return f"{kind} {state}: {_in_a_line(cause.diag.message_primary or '')}"
    if not state and isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError):
        # libpq's or psycopg's own words, of the connection. In a pipeline libpq drops the server's reason, and guesses.
        words, guess, _ = _in_a_line(str(cause)).partition(" This probably means")
        return f"{kind}: {words}{'; why is in the log of PostgreSQL' if guess else ''}"
    return f"{kind} {state}".strip()


def _in_a_line(text: str) -> str:
    return " ".join(text.split())


def as_sql(what: ClauseElement) -> str:
    """The text of a condition or a query, for a statement that is written out: the rule stays where it is said.

    A condition is one on the rows of its tables, as they are named: what it looks up for a row is for that row.
    """
    whole = what if isinstance(what, SelectBase) else select(literal_column("1")).where(what)  # type: ignore[arg-type]
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    text = str(whole.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    return f"({text if whole is what else text.partition('WHERE ')[2]})"
