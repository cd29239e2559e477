"""What `forebay doctor` asks of the database: it reads, and is asked now and then."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import and_, func, literal, select, text, union_all
from sqlalchemy.orm import Session

from db import jobs, scope, workers
from db.documents import index
from db.jobs import Job
from db.ledger import LedgerRow
from db.rounds import Round
from db.webhooks.deliveries import Delivery
from db.workers import Worker

ROLES = (scope.ROLE, index.ROLE)

_MAY_BECOME = text("SELECT coalesce(pg_has_role(current_user, to_regrole(:role), 'SET'), false)")
_UNWALLED = text(
    "SELECT DISTINCT polrelid::regclass::text FROM pg_policy JOIN pg_class ON pg_class.oid = polrelid"
    " WHERE NOT (relrowsecurity AND relforcerowsecurity) ORDER BY 1"
)
# Of other users' connections, PostgreSQL tells only who may see them when their transactions began.
_TRANSACTIONS = text(
    "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8,"
    " count(*) FILTER (WHERE query = '<insufficient privilege>' AND datname IS NOT NULL)"
    " FROM pg_stat_activity WHERE (backend_type = 'client backend' OR backend_type IS NULL)"
    " AND pid <> pg_backend_pid()"
)
_HOUR, _DAY = text("interval '1 hour'"), text("interval '1 day'")


@dataclass(frozen=True, slots=True)
class Queue:
    """How many jobs wait for this queue, and for how long the oldest could have started."""

    name: str
    jobs: int
    oldest_s: float


@dataclass(frozen=True, slots=True)
class Webhooks:
    """Messages to receivers: not sent yet; of these, tried twice or more; given up whose time ended within a day."""

    pending: int
    late: int
    failed: int


def version(session: Session) -> tuple[int, str]:
    """PostgreSQL's, as a number and as it is written."""
    return int(session.scalar(text("SHOW server_version_num")) or 0), str(session.scalar(text("SHOW server_version")))


def extension(session: Session, name: str) -> str | None:
    """The version of an extension; None where the database hasn't got it."""
    found = session.scalar(text("SELECT extversion FROM pg_extension WHERE extname = :name"), {"name": name})
    return None if found is None else str(found)


def may_become(session: Session, role: str) -> bool:
    """Whether our user may take the role, which must be there."""
    return bool(session.scalar(_MAY_BECOME, {"role": role}))


def unwalled(session: Session) -> Sequence[str]:
    """Tables that have rules for who sees which row, and don't heed them, or not with their owner."""
    return list(session.scalars(_UNWALLED))


def size_bytes(session: Session) -> int:
    """What the database takes on its disk."""
    return int(session.scalar(text("SELECT pg_database_size(current_database())")) or 0)


def clock_s(session: Session) -> float:
    """PostgreSQL's clock, in seconds since 1970."""
    return float(session.scalar(text("SELECT extract(epoch FROM clock_timestamp())::float8")) or 0)


def transactions(session: Session) -> tuple[float, int]:
    """For how long the oldest open transaction has been open, in seconds; how many connections we may not look at."""
    oldest_s, unseen = session.execute(_TRANSACTIONS).one()
    return float(oldest_s), int(unseen)


def hosts(session: Session, lease_s: float) -> dict[str, set[str]]:
    """The machines on which workers of each queue live."""
    found: dict[str, set[str]] = {}
    for queue, worker_id in session.execute(select(Worker.queue, Worker.id).where(workers.beats(lease_s))):
        found.setdefault(str(queue), set()).add(worker_id.rpartition("@")[2].partition(":")[0])
    return found


def silent_workers(session: Session, lease_s: float) -> Sequence[str]:
    """Workers whose last heartbeat is older than their lease, which haven't been forgotten yet."""
    return list(session.scalars(select(Worker.id).where(workers.silent_since(lease_s)).order_by(Worker.id).limit(20)))


def waiting(session: Session, cap: int) -> Sequence[Queue]:
    """The queues in which jobs wait, those too whose message a worker hasn't taken yet; each is looked at to `cap`."""
    found = []
    handed_over = session.scalars(select(Job.queue).where(Job.status == "dispatched").distinct())
    rows = select(func.coalesce(Job.due_at, Job.created_at).label("since"))
    for name in sorted({*jobs.queues_waiting(session), *handed_over}):
        lots = (rows.where(Job.queue == name, Job.status == each).limit(cap) for each in ("queued", "dispatched"))
        some = union_all(*lots).subquery()
        age = func.extract("epoch", func.clock_timestamp() - func.min(some.c.since))
        number, oldest_s = session.execute(select(func.count(), age).select_from(some)).one()
        found.append(Queue(name, int(number), float(oldest_s or 0)))
    return found


def ended_lately(session: Session) -> tuple[int, dict[str, int]]:
    """How many jobs ended within the last hour, and how many of them failed, by their error's code."""
    lately = LedgerRow.ended_at > func.now() - _HOUR
    grouped = (
        select(LedgerRow.status, LedgerRow.error_code, func.count())
        .where(lately)
        .group_by(LedgerRow.status, LedgerRow.error_code)
    )
    rows = session.execute(grouped).all()
    failed = {str(code): int(number) for status, code, number in rows if status == "failed"}
    return sum(int(number) for _, _, number in rows), failed


def sweep_age_s(session: Session) -> float | None:
    """How long ago the last round of the sweep began; None where there has been none."""
    age = func.extract("epoch", func.clock_timestamp() - Round.began_at)
    found = session.scalar(select(age).where(Round.name == "sweep"))
    return None if found is None else float(found)


def webhooks(session: Session) -> Webhooks:
    """Counted to ten thousand each."""
    pending = Delivery.status == "pending"
    late = and_(pending, Delivery.attempts >= 2)
    failed = and_(Delivery.status == "failed", Delivery.give_up_at > func.now() - _DAY)
    counts = [jobs.count(session, select(literal(1)).where(which), 10_000) for which in (pending, late, failed)]
    return Webhooks(*counts)
