"""The indexes over the vectors of all tenants' chunks, one for each number of dimensions."""

import time

from sqlalchemy import Connection, Engine, func, select, text

_MAX_DIMENSIONS = 2000  # pgvector's, of an HNSW index over `vector`
_ASK_AGAIN_S = 0.5


def name(dimensions: int) -> str:
    return f"chunks_embedding_{dimensions}"


def ensure(engine: Engine, dimensions: int) -> bool:
    """Makes the index for vectors of so many dimensions unless it is there; False for more than pgvector can index.

    Doesn't stop others from writing meanwhile. Idempotent; of several at once one makes it and the others wait. The
    role must own the table.
    """
    if dimensions > _MAX_DIMENSIONS:
        return False
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # What we set and lock here is the session's: this one is closed afterwards, not given back to the pool.
        connection.detach()
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("SET lock_timeout = 0"))
        # Polled: CONCURRENTLY would wait for a transaction that waits for this lock inside PostgreSQL, and so for ever.
        while not connection.scalar(select(func.pg_try_advisory_lock(func.hashtext(name(dimensions))))):
            time.sleep(_ASK_AGAIN_S)
        _make(connection, dimensions)
    return True


def _make(connection: Connection, dimensions: int) -> None:
    own = name(dimensions)
    valid = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
    if connection.scalar(valid, {"name": own}) is False:  # its making was cut off
        connection.execute(text(f"DROP INDEX CONCURRENTLY {own}"))
    connection.execute(text(_sql(dimensions)))


def _sql(dimensions: int) -> str:
    """An index by expression: vectors of several dimensions share the column."""
    return (
        f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name(dimensions)} ON chunks"
        f" USING hnsw ((embedding::vector({dimensions})) vector_cosine_ops)"
        f" WHERE vector_dims(embedding) = {dimensions}"
    )
