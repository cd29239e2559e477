"""What the statements that the product sends cost, as PostgreSQL says itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, event


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one statement: milliseconds to run it, pages and rows it read, and the indexes by which it did."""

    ms: float
    pages: int
    rows: int
    indexes: frozenset[str]


@contextmanager
def explained(engine: Engine) -> Iterator[list[Cost]]:
    """The cost of each query that is sent through the engine in the block, each run once more to be explained."""
    costs: list[Cost] = []

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:  # noqa: ARG001
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            with connection.connection.dbapi_connection.cursor() as own:
                own.execute(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {statement}", parameters)
                costs.append(_cost(own.fetchone()[0][0]))

    event.listen(engine, "before_cursor_execute", explain)
    try:
        yield costs
    finally:
        event.remove(engine, "before_cursor_execute", explain)


def together(costs: list[Cost]) -> Cost:
    indexes = frozenset[str]().union(*(cost.indexes for cost in costs))
    return Cost(
        sum(cost.ms for cost in costs), sum(cost.pages for cost in costs), sum(cost.rows for cost in costs), indexes
    )


def _cost(found: dict[str, Any]) -> Cost:
    nodes = list(_nodes(found["Plan"]))
    top = found["Plan"]
    rows = sum(_read(node) for node in nodes if "Relation Name" in node or node["Node Type"] == "Bitmap Index Scan")
    indexes = frozenset(node["Index Name"] for node in nodes if "Index Name" in node and node["Actual Loops"])
    return Cost(found["Execution Time"], top["Shared Hit Blocks"] + top["Shared Read Blocks"], int(rows), indexes)


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", ()):
        yield from _nodes(below)


def _read(node: dict[str, Any]) -> float:
    """Rows a scan looked at, whether it wanted them or not."""
    dropped = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return float((node["Actual Rows"] + dropped) * node["Actual Loops"])
