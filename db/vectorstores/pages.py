"""Pages of a list that is sorted by id, asked for from either side."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVarTuple

from sqlalchemy import Row, Select
from sqlalchemy.orm import InstrumentedAttribute, Session

Ts = TypeVarTuple("Ts")


@dataclass(frozen=True, slots=True)
class Page:
    """At most `limit` things: those that follow `after`, or those right before `before`, in the list's order."""

    limit: int
    after: uuid.UUID | None = None
    before: uuid.UUID | None = None
    newest_first: bool = True


def read(
    session: Session, query: Select[*Ts], id: InstrumentedAttribute[uuid.UUID], wanted: Page
) -> Sequence[Row[*Ts]]:
    """The rows of the page, in the list's order."""
    if wanted.after is not None:
        query = query.where(id < wanted.after if wanted.newest_first else id > wanted.after)
    if wanted.before is not None:
        query = query.where(id > wanted.before if wanted.newest_first else id < wanted.before)
    backwards = wanted.before is not None and wanted.after is None
    falling = wanted.newest_first != backwards
    order: Any = id.desc() if falling else id.asc()
    found = session.execute(query.order_by(order).limit(wanted.limit)).all()
    return found[::-1] if backwards else found
