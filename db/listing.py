"""Lists of a tenant's jobs, newest first, each as quick among a million as among a hundred."""

import datetime as dt
import uuid
from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import (
    CTE,
    BindParameter,
    ColumnElement,
    DateTime,
    FromClause,
    Integer,
    Select,
    SQLColumnExpression,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    cast,
    literal,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Session, load_only

from db.jobs import MOVING, Job, JobOutput

_NEWEST = uuid.UUID(int=2**128 - 1)
_OLDEST = uuid.UUID(int=0)
_EVER = dt.datetime.min.replace(tzinfo=dt.UTC)

_BEFORE: BindParameter[uuid.UUID] = bindparam("before", type_=Uuid)
_AFTER: BindParameter[uuid.UUID] = bindparam("after", type_=Uuid)
_LIMIT: BindParameter[int] = bindparam("limit", type_=Integer)
_STATUSES: BindParameter[Any] = bindparam("statuses", type_=ARRAY(Text))


def page(
    session: Session,
    tenant_id: uuid.UUID,
    *,
    limit: int,
    before: uuid.UUID | None = None,
    after: uuid.UUID | None = None,
    statuses: tuple[str, ...] | None = None,
    type: str | None = None,
    model: str | None = None,
    since: dt.datetime | None = None,
) -> list[tuple[Job, JobOutput | None]]:
    """The tenant's jobs, at most `limit`, with ids between `after` and `before`; children aren't listed by themselves.

    Jobs of one status, type and model are together in `jobs_listed`. So a few probes find which there are, and the
    newest of each that is wanted are a range; those that move, which it doesn't have, are few and found by
    `jobs_moving`.
    """
    asked = {"tenant_id": tenant_id, "limit": limit, "before": before or _NEWEST, "after": after or _OLDEST}
    filters = {"statuses": list(statuses) if statuses else None, "type": type, "model": model, "since": since or _EVER}
    return [(job, output) for job, output in session.execute(_page(), asked | filters)]


def stored(
    session: Session,
    tenant_id: uuid.UUID,
    *,
    limit: int,
    after: uuid.UUID | None = None,
    newest_first: bool = False,
    model: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> list[tuple[Job, JobOutput | None]]:
    """The tenant's chats that are to be kept among the stored completions and have succeeded, at most `limit`.

    By `jobs_stored`. A model or a note that few have is looked for through all of them.
    """
    query = select(Job, JobOutput).join(JobOutput, JobOutput.job_id == Job.id)
    query = query.options(load_only(JobOutput.result))  # the streams of a hundred would be megabytes
    query = query.where(Job.tenant_id == tenant_id, Job.store.is_(True), Job.type == "chat", Job.parent_id.is_(None))
    query = query.where(Job.status == "succeeded")
    if model is not None:
        query = query.where(Job.model == model)
    if metadata:
        query = query.where(cast(Job.labels, JSONB).contains(dict(metadata)))
    if after is not None:
        query = query.where(Job.id < after if newest_first else Job.id > after)
    rows = session.execute(query.order_by(Job.id.desc() if newest_first else Job.id).limit(limit))
    return [(job, output) for job, output in rows]


@cache
def _page() -> Select[Job, JobOutput]:
    """Of the outputs only what a list shows: the streams of a hundred jobs would be megabytes."""
    found = union_all(_at_rest(), _moving()).subquery()
    newest = select(found.c.id).order_by(found.c.id.desc()).limit(_LIMIT).subquery()
    query = select(Job, JobOutput).join(newest, newest.c.id == Job.id).outerjoin(JobOutput, JobOutput.job_id == Job.id)
    return query.options(load_only(JobOutput.result)).order_by(Job.id.desc())


def _at_rest() -> Select[uuid.UUID]:
    """The newest of each kind that is wanted, among the jobs that don't move.

    What is between two rows of all columns of `jobs_listed`, and sorted by all of them, only that index gives. For jobs
    that equal a kind, sorted by their ids, PostgreSQL reads everybody's by the primary key where it thinks them common.
    """
    kinds = _kinds()
    kind, columns = (kinds.c.status, kinds.c.type, kinds.c.model), (Job.status, Job.type, Job.model, Job.id)
    between = (tuple_(*columns) < tuple_(*kind, _BEFORE), tuple_(*columns) > tuple_(*kind, _AFTER))
    each = select(Job.id).where(_rests(), _since(), *between).order_by(*(column.desc() for column in columns))
    newest = each.limit(_LIMIT).correlate(kinds).lateral()
    return select(newest.c.id).select_from(kinds).join(newest, literal(True)).where(_wanted(kinds))


def _kinds() -> CTE:
    """The statuses, types and models together of which the tenant has jobs that don't move, an index probe each."""
    columns = (Job.status, Job.type, Job.model)
    probe = select(*columns).where(_rests()).order_by(*columns).limit(1)
    steps = select(probe.subquery()).cte("kinds", recursive=True)
    reached = tuple_(steps.c.status, steps.c.type, steps.c.model)
    following = probe.where(tuple_(*columns) > reached).correlate(steps).lateral()
    return steps.union_all(select(following).select_from(steps).join(following, literal(True)))


def _moving() -> Select[uuid.UUID]:
    wanted = or_(_STATUSES.is_(None), Job.status == any_(_STATUSES))
    moves = or_(*(Job.status == _literal(status) for status in MOVING))
    asked = (_is("type", Job.type), _is("model", Job.model), Job.id < _BEFORE, Job.id > _AFTER)
    return select(Job.id).where(_theirs(), moves, wanted, _since(), *asked)


def _wanted(kinds: FromClause) -> ColumnElement[bool]:
    wanted = or_(_STATUSES.is_(None), kinds.c.status == any_(_STATUSES))
    return and_(wanted, _is("type", kinds.c.type), _is("model", kinds.c.model))


def _is(name: str, value: SQLColumnExpression[Any]) -> ColumnElement[bool]:
    wanted: BindParameter[Any] = bindparam(name, type_=Text)
    return or_(wanted.is_(None), value == wanted)


def _since() -> ColumnElement[bool]:
    return Job.created_at >= bindparam("since", type_=DateTime(timezone=True))


def _rests() -> ColumnElement[bool]:
    return and_(_theirs(), *(Job.status != _literal(status) for status in MOVING))


def _theirs() -> ColumnElement[bool]:
    return and_(Job.tenant_id == bindparam("tenant_id"), Job.parent_id.is_(None))


def _literal(status: str) -> BindParameter[str]:
    """Part of the statement's text: by a parameter PostgreSQL couldn't tell that a partial index has all such jobs."""
    return literal(status, literal_execute=True)
