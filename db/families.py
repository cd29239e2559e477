"""Families: parents, and the children they wait for. Counts are queries, never counters."""

import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    TextClause,
    and_,
    exists,
    func,
    inspect,
    literal,
    not_,
    null,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.orm import Session, aliased

from db.jobs import Job, JobOutput
from db.session import Send


def add(session: Session, children: Sequence[Mapping[str, Any]]) -> list[uuid.UUID]:
    """Writes children down, given by their columns, which all of them have alike; which of them. Where a place of the
    parent's is taken, its child stays.

    One statement over all of them: of hundreds each by itself half as many are written in a second.
    """
    if not children:
        return []
    named = {_COLUMNS[name]: name for name in children[0]}
    rows = [{column: child[name] for column, name in named.items()} for child in children]
    shown = json.dumps(rows, default=str, ensure_ascii=False)
    return list(session.scalars(_add(tuple(named)), {"rows": shown}))


_COLUMNS = {attribute.key: attribute.columns[0].name for attribute in inspect(Job).column_attrs}


@cache
def _add(columns: tuple[str, ...]) -> TextClause:
    names = ", ".join(columns)
    return text(
        f"INSERT INTO jobs ({names}) SELECT {names} FROM json_populate_recordset(NULL::jobs, CAST(:rows AS json))"
        " ON CONFLICT (parent_id, place) WHERE parent_id IS NOT NULL DO NOTHING RETURNING id"
    )


def lock(session: Session, parent_ids: Collection[uuid.UUID]) -> None:
    """Locks these parents: to move one, others wait for the end of this transaction."""
    parents = select(Job.id).where(Job.id.in_(parent_ids)).order_by(Job.id)
    session.execute(parents.with_for_update(key_share=True))


@cache
def no_child_left() -> ColumnElement[bool]:
    """The condition that all children of a job have ended."""
    child = aliased(Job)
    return not_(exists().where(child.parent_id == Job.id, child.finished_at.is_(None)).correlate(Job))


def without_unfinished(send: Send, parent_ids: Collection[uuid.UUID]) -> list[uuid.UUID]:
    """Those of these jobs that have no unfinished child: one probe of `jobs_children` each, however many there are."""
    return [row["id"] for row in send(_WITHOUT_UNFINISHED, {"ids": list(parent_ids)})]


# In the order of the index, which is so never left for a scan of the table, with its many children that have ended.
_WITHOUT_UNFINISHED = """
SELECT parent.id FROM unnest(%(ids)s::uuid[]) AS parent(id) WHERE parent.id IS DISTINCT FROM (
    SELECT parent_id FROM jobs WHERE parent_id >= parent.id AND finished_at IS NULL ORDER BY parent_id LIMIT 1
)"""


def ready(session: Session, limit: int) -> Sequence[uuid.UUID]:
    """Parents, at most `limit`, that wait while no child is unfinished; locked, but for those that others hold."""
    return session.scalars(waiting_in_vain(limit).with_for_update(skip_locked=True, key_share=True)).all()


def waiting_in_vain(limit: int) -> Select[uuid.UUID]:
    """The query for parents that wait while no child is unfinished."""
    return select(Job.id).where(Job.status == "waiting", no_child_left()).limit(limit)


def is_unfinished_child(parent_ids: Collection[uuid.UUID]) -> ColumnElement[bool]:
    """The condition that a job is a child of one of these and hasn't ended."""
    return and_(Job.parent_id.in_(parent_ids), Job.finished_at.is_(None))


def bereft(session: Session, limit: int) -> Sequence[uuid.UUID]:
    """Parents, at most `limit`, that have ended or are gone before all their children had ended."""
    return session.scalars(bereft_parents(limit)).all()


def bereft_parents(limit: int) -> Select[uuid.UUID]:
    """The query for parents that have ended or are gone before all their children had ended.

    An index probe for each parent with unfinished children, however many those are.
    """
    unfinished = and_(Job.parent_id.is_not(None), Job.finished_at.is_(None))
    probe = select(Job.parent_id).where(unfinished).order_by(Job.parent_id).limit(1)
    steps = select(probe.scalar_subquery().label("parent_id")).cte("steps", recursive=True)
    following = probe.where(Job.parent_id > steps.c.parent_id).scalar_subquery()
    steps = steps.union_all(select(following).where(steps.c.parent_id.is_not(None)))
    parent = aliased(Job)
    query = select(steps.c.parent_id).outerjoin(parent, parent.id == steps.c.parent_id)
    over = or_(parent.id.is_(None), parent.finished_at.is_not(None))
    return query.where(steps.c.parent_id.is_not(None), over).limit(limit)


def is_child(session: Session, job_id: uuid.UUID) -> bool:
    return session.scalar(select(Job.parent_id).where(Job.id == job_id)) is not None


def outcomes(session: Session, parent_id: uuid.UUID) -> Sequence[tuple[Job, dict[str, Any] | None]]:
    """A job's children, each with its result, in the order of their places."""
    query = select(Job, JobOutput.result).outerjoin(JobOutput, JobOutput.job_id == Job.id)
    rows = session.execute(query.where(Job.parent_id == parent_id).order_by(Job.place))
    return [(job, result) for job, result in rows]


def empty(session: Session, parent_id: uuid.UUID, first: int, stage: str) -> None:
    """Erases what went into a job's children, from this place on, that have ended in this stage. Idempotent."""
    ended = (Job.parent_id == parent_id, Job.place >= first, Job.stage == stage, Job.finished_at.is_not(None))
    statement = update(Job).where(*ended).values(input=literal({}, Job.input.type), stage_input=null())
    session.execute(statement, execution_options={"synchronize_session": False})


def counts(session: Session, parent_id: uuid.UUID) -> dict[str, int]:
    """How many of a job's children are in each status."""
    query = select(Job.status, func.count()).where(Job.parent_id == parent_id).group_by(Job.status)
    return {status: int(number) for status, number in session.execute(query)}
