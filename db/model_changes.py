"""When a model was replaced under its name: since when which one answers in a queue."""

import datetime as dt

from sqlalchemy import DateTime, Text, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from db.session import Table

_EVER = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class ModelChange(Table):
    """Workers with this `identity` (`Worker`) serve the queue `since` then, where others had served it before; the
    first of a queue since ever."""

    __tablename__ = "model_changes"

    queue: Mapped[str] = mapped_column(Text, primary_key=True)
    since: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    identity: Mapped[str] = mapped_column(Text)


def note(session: Session, queue: str, identity: str) -> None:
    """Notes what a worker that is being entered answers by, if that isn't what the last one said."""
    query = select(ModelChange.identity).where(ModelChange.queue == queue).order_by(ModelChange.since.desc()).limit(1)
    last = session.scalar(query)
    if last == identity:
        return
    since = _EVER if last is None else func.clock_timestamp()
    row = insert(ModelChange).values(queue=queue, since=since, identity=identity)
    session.execute(row.on_conflict_do_nothing())
