"""Turns: in which order waiting jobs go. Between tenants it is turns, within a tenant priority and then age."""

import datetime as dt
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    BindParameter,
    Boolean,
    ColumnElement,
    DateTime,
    ForeignKey,
    Integer,
    Select,
    Text,
    Uuid,
    all_,
    and_,
    bindparam,
    case,
    column,
    func,
    literal,
    or_,
    select,
    tuple_,
)
from sqlalchemy import Table as SqlTable
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from db import jobs
from db.jobs import Job
from db.session import Table

# At least so often a tenant's oldest job is looked for, which may wait behind its others of a higher priority (ADR 15).
AGED_S = 60.0
# So many of a tenant's next jobs are looked at for some that may start: however many are late, a look stays short.
_LOOK = 200

_WITHIN = (Job.priority.desc(), Job.id.asc())  # the order of a tenant's jobs, and of `jobs_queued`


class Turn(Table):
    """When a tenant last had a turn in a lane of a queue: `taken` grows from turn to turn, whatever clocks do.

    `aged_at` is when the oldest of its jobs there was last looked for.
    """

    __tablename__ = "turns"

    queue: Mapped[str] = mapped_column(Text, primary_key=True)
    lane: Mapped[str] = mapped_column(Text, primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True)
    taken: Mapped[int] = mapped_column(BigInteger)
    aged_at: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class Next:
    """A waiting job that comes next, with its tenant. `aged`: it is time to look for the tenant's oldest job."""

    job_id: uuid.UUID
    stage: str
    tenant_id: uuid.UUID
    aged: bool


def next_queued(session: Session, queue: str, lane: str, limit: int, without: Sequence[str] = ()) -> list[Next]:
    """Which waiting jobs of a lane come next, late ones and those in the stages `without` left out; at most `limit`.

    A job's place is the number of the tenant's jobs before it: those that wait, are in the window, or run in this lane.
    Among jobs of equal place, the tenant whose last turn is longest ago goes first. So no tenant is passed twice by
    another that has as much under way, however many jobs that one has, of whatever priority (docs/adr/0015).

    A few probes of `jobs_queued` for each tenant that waits, and at most `limit` rows, or `_LOOK` where jobs are late.
    """
    look = {"limit": limit, "look": max(limit, _LOOK), "without": list(without)}
    rows = session.execute(_next_queued(), {"queue": queue, "lane": lane, **look})
    return [Next(*row) for row in rows]


@cache
def _next_queued() -> Select[Any]:
    """Built once: it runs with every refill, and building it takes longer than running it."""
    limit: BindParameter[Any] = bindparam("limit", type_=Integer)
    standing = _standing()
    columns = (Job.id, Job.priority, Job.stage, jobs.may_start().label("startable"))
    wanted = Job.stage != all_(bindparam("without", type_=ARRAY(Text)))
    own = select(*columns).where(_waiting(), wanted, Job.tenant_id == standing.c.tenant_id).order_by(*_WITHIN)
    looked = own.correlate(standing).limit(bindparam("look", type_=Integer)).lateral()
    by_priority = (looked.c.priority.desc(), looked.c.id)
    rank = func.row_number().over(order_by=by_priority).label("rank")
    firsts = (
        select(looked.c.id, looked.c.stage, rank)
        .where(looked.c.startable)
        .order_by(*by_priority)
        .limit(limit)
        .lateral()
    )
    order = (standing.c.load + firsts.c.rank, standing.c.taken, standing.c.tenant_id)
    columns_of_next = (firsts.c.id, firsts.c.stage, standing.c.tenant_id, standing.c.aged)
    query = select(*columns_of_next).select_from(standing).join(firsts, literal(True))
    return query.order_by(*order).limit(limit)


def _waiting() -> ColumnElement[bool]:
    return and_(Job.queue == bindparam("queue"), Job.lane == bindparam("lane"), Job.status == "queued")


def _standing() -> CTE:
    """The tenants with jobs that wait in a lane of a queue, each with its load there and its last turn."""
    queue: BindParameter[Any] = bindparam("queue")
    lane: BindParameter[Any] = bindparam("lane")
    tenants = _tenants(_waiting(), *_WITHIN)
    moving = (Job.queue == queue, Job.lane == lane, Job.status.in_(("dispatched", "running")))
    loads = select(Job.tenant_id, func.count().label("jobs")).where(*moving).group_by(Job.tenant_id).subquery()
    theirs = and_(Turn.queue == queue, Turn.lane == lane, Turn.tenant_id == tenants.c.tenant_id)
    load, taken = func.coalesce(loads.c.jobs, 0), func.coalesce(Turn.taken, 0)
    recent = Turn.aged_at.between(func.now() - dt.timedelta(seconds=AGED_S), func.now())
    aged = ~func.coalesce(recent, False)
    columns = (tenants.c.tenant_id, load.label("load"), taken.label("taken"), aged.label("aged"))
    query = select(*columns).select_from(tenants)
    query = query.outerjoin(loads, loads.c.tenant_id == tenants.c.tenant_id).outerjoin(Turn, theirs)
    return query.cte("standing")


def _tenants(kind: ColumnElement[bool], *within: ColumnElement[Any]) -> CTE:
    """The distinct tenants of jobs of a kind, one index probe each instead of a scan over all of them.

    The index is the one whose columns are the tenant and then `within`: by the tenant alone PostgreSQL may take
    `jobs_listed`, and with it read all jobs that a tenant ever had.
    """
    probe = select(Job.tenant_id).where(kind).order_by(Job.tenant_id, *within).limit(1)
    steps = select(probe.scalar_subquery().label("tenant_id")).cte("steps", recursive=True)
    following = probe.where(Job.tenant_id > steps.c.tenant_id).scalar_subquery()
    steps = steps.union_all(select(following).where(steps.c.tenant_id.is_not(None)))
    return select(steps.c.tenant_id).where(steps.c.tenant_id.is_not(None)).cte("whose")


def oldest(session: Session, queue: str, lane: str, tenant_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, uuid.UUID]:
    """By tenant, of the first jobs of each priority the one that has waited longest, where that is for `AGED_S`.

    Which is first within a priority the ids say, also where others have waited longer (docs/adr/0030). It takes a probe
    of `jobs_queued` for each tenant and priority.
    """
    found: dict[uuid.UUID, uuid.UUID] = {}
    if tenant_ids:
        values = {"queue": queue, "lane": lane, "tenant_ids": list(tenant_ids)}
        for tenant_id, job_id in session.execute(_oldest(), values):
            found.setdefault(tenant_id, job_id)
    return found


@cache
def _oldest() -> Select[Any]:
    tenants = select(func.unnest(bindparam("tenant_ids", type_=ARRAY(Uuid))).label("tenant_id")).cte("whose")
    priorities = select(func.generate_series(0, 9).label("priority")).cte("priorities")
    same = (Job.tenant_id == tenants.c.tenant_id, Job.priority == priorities.c.priority)
    good = and_(jobs.may_start(), jobs.has_waited(AGED_S)).label("good")
    since = jobs.waits_since().label("since")
    first = select(Job.id, good, since).where(_waiting(), *same).order_by(Job.id).limit(1).lateral()
    found = select(tenants.c.tenant_id, first.c.id).select_from(tenants)
    query = found.join(priorities, literal(True)).join(first, literal(True))
    return query.where(first.c.good).order_by(first.c.since, first.c.id)


def note(session: Session, queue: str, lane: str, tenants: Mapping[uuid.UUID, bool]) -> None:
    """Notes that these tenants had a turn just now; True where the oldest of its jobs was looked for."""
    if not tenants:
        return
    ids = sorted(tenants)
    session.execute(_note(), {"queue": queue, "lane": lane, "ids": ids, "aged": [tenants[id] for id in ids]})


@cache
def _note() -> Insert:
    queue: BindParameter[Any] = bindparam("queue", type_=Text)
    lane: BindParameter[Any] = bindparam("lane", type_=Text)
    newest = select(func.coalesce(func.max(Turn.taken), 0) + 1).where(Turn.queue == queue, Turn.lane == lane)
    given = func.unnest(bindparam("ids", type_=ARRAY(Uuid)), bindparam("aged", type_=ARRAY(Boolean)))
    rows = given.table_valued(column("id", Uuid), column("aged", Boolean)).render_derived()
    aged_at = case((rows.c.aged, func.now()))
    names = ["queue", "lane", "tenant_id", "taken", "aged_at"]
    table = Turn.__table__
    assert isinstance(table, SqlTable)
    statement = insert(table).from_select(names, select(queue, lane, rows.c.id, newest.scalar_subquery(), aged_at))
    noted = statement.excluded
    values = {"taken": noted.taken, "aged_at": func.coalesce(noted.aged_at, Turn.aged_at)}
    return statement.on_conflict_do_update(index_elements=["queue", "lane", "tenant_id"], set_=values)


def less_served_waits(session: Session, queue: str, lane: str, tenant_id: uuid.UUID) -> bool:
    """True when in this lane of the queue another tenant waits, and would have fewer running jobs than this one even
    with one more; one with none running counts always (docs/adr/0016).
    """
    return session.execute(_less_served(), {"queue": queue, "lane": lane, "tenant_id": tenant_id}).first() is not None


@cache
def _less_served() -> Select[Any]:
    """Built once: each job that may give its slot back runs it twice a second."""
    here = Job.queue == bindparam("queue")
    alike = and_(here, Job.lane == bindparam("lane"))
    queued = _tenants(and_(alike, Job.status == "queued"), *_WITHIN)
    dispatched = select(Job.tenant_id).where(alike, Job.status == "dispatched")
    waiting = select(queued.c.tenant_id).union(dispatched).subquery()
    running = select(Job.tenant_id, func.count().label("jobs")).where(here, Job.status == "running")
    theirs = running.group_by(Job.tenant_id).subquery()
    own = select(func.count()).where(here, Job.status == "running", Job.tenant_id == bindparam("tenant_id"))
    fewer = or_(theirs.c.jobs.is_(None), theirs.c.jobs + 1 < own.scalar_subquery())
    joined = select(literal(1)).select_from(waiting).outerjoin(theirs, theirs.c.tenant_id == waiting.c.tenant_id)
    return joined.where(waiting.c.tenant_id != bindparam("tenant_id"), fewer).limit(1)


def ahead(session: Session, job: Job, cap: int) -> int:
    """About how many jobs of the queue go before this waiting one, counted to `cap`: by `next_queued`, as it is now."""
    in_window = and_(Job.queue == job.queue, Job.status == "dispatched")
    if job.status == "dispatched":
        return jobs.count(session, select(literal(1)).where(in_window, Job.dispatched_at < job.dispatched_at), cap)
    own = _own_ahead(session, job, cap)
    before = own + jobs.count(session, select(literal(1)).where(in_window), cap)
    if job.lane == "batch":
        interactive = and_(Job.queue == job.queue, Job.lane == "interactive", Job.status == "queued")
        before += _count_queued(session, interactive, cap)
    if before >= cap:
        return cap
    return min(cap, before + _others_ahead(session, job, own + 1, cap - before))


def _own_ahead(session: Session, job: Job, cap: int) -> int:
    """How many jobs of its own tenant go before it. Those of its priority are a range of the index by themselves."""
    waiting = and_(Job.queue == job.queue, Job.lane == job.lane, Job.status == "queued", Job.tenant_id == job.tenant_id)
    ways = (Job.priority > job.priority, and_(Job.priority == job.priority, Job.id < job.id))
    return sum(_count_queued(session, and_(waiting, way), cap) for way in ways)


def _count_queued(session: Session, which: ColumnElement[bool], cap: int) -> int:
    """Counts queued jobs of a queue's lane by `jobs_queued`: sorted as it is, so that PostgreSQL takes no other way.

    To find the first thousand of many in whatever order, it may read all jobs there ever were. Two conditions with an
    OR between them it reads so, always.
    """
    return jobs.count(session, select(literal(1)).where(which).order_by(Job.tenant_id, *_WITHIN), cap)


def _others_ahead(session: Session, job: Job, rank: int, cap: int) -> int:
    """How many jobs of other tenants have a place before its tenant's of this rank, counted to `cap`."""
    key = {"queue": job.queue, "lane": job.lane}
    standing = _standing()
    found = select(standing.c.load, standing.c.taken).where(standing.c.tenant_id == job.tenant_id)
    load, taken = session.execute(found, key).one_or_none() or (0, 0)
    values = {"place": load + rank, "taken": taken, "tenant_id": job.tenant_id, "cap": cap}
    return session.scalar(_others(), key | values) or 0


@cache
def _others() -> Select[Any]:
    place, standing = bindparam("place", type_=Integer), _standing()
    behind = tuple_(standing.c.taken, standing.c.tenant_id) > tuple_(
        bindparam("taken", type_=BigInteger), bindparam("tenant_id", type_=Uuid)
    )
    places = place - standing.c.load - case((behind, 1), else_=0)
    own = (_waiting(), Job.tenant_id == standing.c.tenant_id)
    rank = func.row_number().over(order_by=_WITHIN).label("rank")
    theirs = select(rank).where(*own).order_by(*_WITHIN).limit(place).lateral()
    others = select(literal(1)).select_from(standing).join(theirs, literal(True))
    before = others.where(standing.c.tenant_id != bindparam("tenant_id"), theirs.c.rank <= places)
    return select(func.count()).select_from(before.limit(bindparam("cap", type_=Integer)).subquery())


def each_in_turn(
    kind: ColumnElement[bool], which: ColumnElement[bool], by: ColumnElement[Any], limit: int
) -> Select[uuid.UUID]:
    """The ids of at most `limit` jobs of a kind that match, one of each tenant, then the next of each, each by `by`.

    `kind` is the condition of an index on the tenant and `by`.
    """
    tenants = _tenants(kind, by)
    rank = func.row_number().over(order_by=by).label("rank")
    own = (kind, which, Job.tenant_id == tenants.c.tenant_id)
    firsts = select(Job.id, rank).where(*own).order_by(by).limit(limit).lateral()
    query = select(firsts.c.id).select_from(tenants).join(firsts, literal(True))
    return query.order_by(firsts.c.rank, firsts.c.id).limit(limit)
