"""Rounds: when the installation's last round of the sweep began, in whichever process."""

import datetime as dt
from functools import cache

from sqlalchemy import DateTime, Select, Text, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from db import jobs
from db.session import Table, alone, as_sql


class Round(Table):
    """What is done now and then by whoever comes first, by its name: a round of the sweep, a look for strays, for steps
    of summaries that nothing uses."""

    __tablename__ = "rounds"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    began_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))


def due(name: str, every_s: float) -> Select[int]:
    """Finds a row when the last of this name began `every_s` ago, or never."""
    recent = Round.began_at.between(func.now() - dt.timedelta(seconds=every_s), func.now())
    return select(literal(1)).where(~select(Round.name).where(Round.name == name, recent).exists())


def begin(session: Session, name: str, every_s: float) -> bool:
    """Notes that one of this name begins, where the last began `every_s` ago, or never; else False."""
    recent = Round.began_at.between(func.now() - dt.timedelta(seconds=every_s), func.now())
    began = insert(Round).values(name=name, began_at=func.now())
    began = began.on_conflict_do_update(
        index_elements=["name"], set_={"began_at": began.excluded.began_at}, where=~recent
    )
    return session.scalar(began.returning(Round.name)) is not None


def note(session: Session, name: str) -> None:
    """Notes that one of this name begins."""
    began = insert(Round).values(name=name, began_at=func.now())
    session.execute(began.on_conflict_do_update(index_elements=["name"], set_={"began_at": began.excluded.began_at}))


def look(session: Session, *, lease_s: float, every_s: float, hurry: bool) -> tuple[float, bool]:
    """PostgreSQL's clock in seconds, and whether the next round is the caller's, who has begun it then.

    It is when the last one began `every_s` ago; in a `hurry` also where a worker's lease ran out. One statement, which
    commits itself. It names the tables of jobs and workers, so it fails while either is locked.
    """
    [row] = alone(session)(_look(lease_s), {"every_s": every_s, "hurry": hurry})
    return row["clock_s"], row["begun"]


@cache
def _look(lease_s: float) -> str:
    orphans = as_sql(select(literal(1)).where(jobs.is_orphaned(lease_s)))
    return _LOOK.replace("{orphans}", orphans)


# A round of the future began before the clock was set back.
_LOOK = """
WITH last AS (SELECT began_at FROM rounds WHERE name = 'sweep'), begun AS (
    INSERT INTO rounds AS r (name, began_at)
    SELECT 'sweep', clock_timestamp()
    WHERE NOT EXISTS (
        SELECT FROM last WHERE began_at <= clock_timestamp() AND began_at > clock_timestamp()
            - make_interval(secs => %(every_s)s)
    ) OR (%(hurry)s AND EXISTS {orphans})
    ON CONFLICT (name) DO UPDATE SET began_at = excluded.began_at WHERE r.began_at = (SELECT began_at FROM last)
    RETURNING name
)
SELECT extract(epoch FROM clock_timestamp())::float8 AS clock_s, EXISTS (SELECT FROM begun) AS begun
"""
