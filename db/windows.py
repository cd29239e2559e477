"""Windows: what is remembered of a model's window beside its jobs."""

import datetime as dt

from sqlalchemy import DateTime, Text, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from db.session import Table


class Window(Table):
    __tablename__ = "windows"

    model: Mapped[str] = mapped_column(Text, primary_key=True)
    lifted_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))


def lifted_within(session: Session, model: str, seconds: float) -> bool:
    """Whether a batch job of the model was lifted in the last so many seconds, by the database's clock."""
    recent = Window.lifted_at > func.now() - dt.timedelta(seconds=seconds)
    return session.scalar(select(Window.model).where(Window.model == model, recent)) is not None


def note_lift(session: Session, model: str) -> None:
    values = {"lifted_at": func.now()}
    statement = insert(Window).values(model=model, **values)
    session.execute(statement.on_conflict_do_update(index_elements=["model"], set_=values))
