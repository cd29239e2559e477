"""The indexes of large collections' vectors: each has its own, which no other tenant's chunks are in.

Small ones need none: every chunk is looked at. What is large is seen as a role that sees where all tenants' chunks are,
and none of what they say.
"""

import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Engine, SQLColumnExpression, Text, case, cast, func, select, text
from sqlalchemy.orm import Session

ROLE = "forebay_search"
LARGE = 5_000  # chunks: to look at each of so many takes as long as to walk an index, and some (see docs/adr/0022)
MOST = 200  # indexes: each is a little work for every statement on chunks
_MAX_DIMENSIONS = 4000  # pgvector's, of an HNSW index over `halfvec`
_PREFIX = "chunks_near_"
_MEMORY_MB = (64, 2048)
_GRAPH_BYTES = 500  # of one vector, beside itself


@dataclass(frozen=True, slots=True)
class Large:
    """A collection that is large; `counted` is how many chunks it had when its words were counted."""

    tenant_id: uuid.UUID
    collection_id: uuid.UUID
    dimensions: int
    second: bool
    counted: int | None
    chunks: int

    @property
    def index(self) -> str | None:
        """Its index's name; None when pgvector can't have one of so many dimensions."""
        return name(self.collection_id, self.dimensions, self.second) if self.dimensions <= _MAX_DIMENSIONS else None


def name(collection_id: uuid.UUID, dimensions: int, second: bool = False) -> str:
    return f"{_PREFIX}{collection_id.hex}_{dimensions}_{'second' if second else 'first'}"


def spelled(
    collection_id: SQLColumnExpression[uuid.UUID],
    dimensions: SQLColumnExpression[int | None],
    second: SQLColumnExpression[bool],
) -> ColumnElement[str]:
    """`name` in SQL."""
    digits = func.replace(cast(collection_id, Text), "-", "")
    return func.concat(_PREFIX, digits, "_", dimensions, case((second, "_second"), else_="_first"))


@contextmanager
def alone(engine: Engine) -> Iterator[Connection | None]:
    """A connection without a time limit, each statement a transaction; None when somebody else has such a one."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # What we set and lock here is the session's: this one is closed afterwards, not given back to the pool.
        connection.detach()
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("SET lock_timeout = 0"))
        mine = connection.scalar(select(func.pg_try_advisory_lock(func.hashtext(_PREFIX))))
        yield connection if mine else None
        if mine:  # at once: a connection that is closed is a moment later no session any more
            connection.execute(select(func.pg_advisory_unlock(func.hashtext(_PREFIX))))


def large(connection: Connection, least: int = LARGE) -> list[Large]:
    """The collections of at least so many chunks, the largest first, at most `MOST`.

    One whose next vectors are all there comes a second time, with those: their index is made before it is searched.
    """
    connection.execute(text(f"SET ROLE {ROLE}"))
    try:
        rows = connection.execute(_LARGE, {"least": least, "most": MOST}).all()
    finally:
        connection.execute(text("RESET ROLE"))
    return [Large(*row) for row in rows]


def make(connection: Connection, own: Large) -> None:
    """Makes the collection's index unless it is there. Doesn't stop others from writing meanwhile. Idempotent."""
    if own.index is None:
        return
    valid = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
    there = connection.scalar(valid, {"name": own.index})
    if there:
        return
    if there is False:  # its making was cut off
        drop(connection, own.index)
    least, most = _MEMORY_MB
    memory = own.chunks * (2 * own.dimensions + _GRAPH_BYTES) * 5 // 4 // 2**20
    connection.execute(text(f"SET maintenance_work_mem = '{min(most, max(least, memory))}MB'"))
    # Processes that build together share memory which containers often have too little of.
    connection.execute(text("SET max_parallel_maintenance_workers = 0"))
    connection.execute(text(_sql(own)))


def is_made(session: Session, name: str) -> bool:
    """Whether there is a whole index of this name."""
    made = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
    return bool(session.scalar(made, {"name": name}))


def drop(connection: Connection, index: str) -> None:
    connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {index}"))


def left_over(connection: Connection, wanted: Collection[Large]) -> list[str]:
    """The indexes of collections that aren't there any more, or have become small, or have other vectors now."""
    kept = {own.index for own in wanted}
    return [index for index in connection.scalars(_MADE, {"like": f"{_PREFIX}%"}) if index not in kept]


def _sql(own: Large) -> str:
    """An index by expression: vectors of several dimensions share the column. Half as precise, it is half as large."""
    vector = "second_embedding" if own.second else "embedding"
    return (
        f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {own.index} ON chunks"
        f" USING hnsw (({vector}::halfvec({own.dimensions})) halfvec_cosine_ops)"
        f" WHERE collection_id = '{own.collection_id}'::uuid AND vector_dims({vector}) = {own.dimensions}"
    )


_LARGE = text(
    """
    WITH large AS (
        SELECT collections.tenant_id, collections.id, collections.dimensions, collections.second, collections.counted,
               sum(documents.chunks) AS chunks
        FROM documents JOIN collections ON collections.id = documents.collection_id
        WHERE documents.status = 'ready' AND collections.dimensions IS NOT NULL
        GROUP BY collections.id HAVING sum(documents.chunks) >= :least
    )
    SELECT * FROM large
    UNION ALL
    SELECT large.tenant_id, large.id, next.dimensions, NOT large.second, large.chunks, large.chunks
    FROM large JOIN reembeddings AS next ON next.collection_id = large.id
    WHERE next.filled AND NOT next.switched AND next.dimensions IS NOT NULL
    ORDER BY chunks DESC, id, dimensions LIMIT :most
    """
)
_MADE = text(
    """
    SELECT pg_class.relname FROM pg_index JOIN pg_class ON pg_class.oid = pg_index.indexrelid
    WHERE pg_index.indrelid = to_regclass('chunks') AND pg_class.relname LIKE :like
    """
)
