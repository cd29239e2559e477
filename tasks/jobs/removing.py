"""Jobs that have ended are removed, each with its children, and with all but its row of the ledger."""

import uuid
from collections.abc import Callable, Collection, Iterator

import redis
import structlog
from sqlalchemy.orm import Session

from db import removing
from db.scope import scope as tenants_scope
from db.session import Transactions
from db.vectorstores import attached
from tasks import errors, ids
from tasks.keys import Caller
from tasks.streams import stream

log = structlog.get_logger(__name__)

_AT_ONCE = 200  # of jobs that nobody waits for: so few that each transaction is over in some hundredths of a second

_ROWS_AT_ONCE = 2000  # of those beside a batch
_FILES_AT_ONCE = 200  # few of which have chunks yet


def erase(scope: Transactions, client: redis.Redis, caller: Caller, job_id: uuid.UUID) -> None:
    """Erases the tenant's job with all that descends from it, its stream too; pending webhooks about it aren't sent.

    What has many children goes in several transactions, the job itself with the last: where it is cut off, asking again
    goes on. Raises `NotFound`; `Conflict` for a job that hasn't ended, one whose children haven't, and a child.
    """
    with scope.begin() as session:
        job = removing.own(session, caller.tenant_id, job_id)
        if job is None:
            raise errors.NotFound(f"no job {ids.show(job_id)}")
        if job.parent_id is not None:
            raise errors.Conflict(f"{ids.show(job_id)} is a part of {ids.show(job.parent_id)}, and goes with that")
        if job.finished_at is None:
            raise errors.Conflict(f"{ids.show(job_id)} hasn't ended: cancel it first")
    for removed in family(scope, job_id, waits=True):
        forget_streams(client, removed)
        if job_id in removed:
            return
    raise errors.Conflict(f"parts of {ids.show(job_id)} are still being ended: try again in a moment")


def family(scope: Transactions, job_id: uuid.UUID, *, waits: bool = False) -> Iterator[list[uuid.UUID]]:
    """Removes an ended job and what descends from it, children before their parents; which jobs, lot by lot, none in
    one that only made a batch smaller, or told files of their job's end.

    It ends before the job is gone where something of it hasn't ended; or is held by another transaction, unless this
    `waits` for that.
    """
    removed: list[uuid.UUID] = []
    while job_id not in removed:
        with scope.begin() as session:
            found = removing.youngest(session, job_id, _AT_ONCE)
            smaller = removing.thin(session, found, _ROWS_AT_ONCE) or _tell_files(session, found)
            removed = [] if smaller else removing.remove(session, found, waits=waits)
        if not removed and not smaller:
            return
        yield removed


def forget_due(scope: Transactions, kept_s: float, in_time: Callable[[], bool]) -> bool:
    """Forgets jobs that ended so long ago, the longest ended first, until there is no more or no time left.

    True when there is no more. A job stays while a webhook is still to be told of it. Safe beside itself.
    """
    while in_time():
        with scope.begin() as session:
            found = removing.due(session, kept_s, _AT_ONCE)
            slow = removing.in_parts(session, found)
            count = len(removing.remove(session, set(found).difference(slow)))
        for job_id in slow:
            for removed in family(scope, job_id):
                count += len(removed)
                if not in_time():
                    return False
        if not count:
            return True
    return False


def _tell_files(session: Session, job_ids: Collection[uuid.UUID]) -> bool:
    """Notes how these jobs ended on files in vector stores that wait for them still; whether there were any."""
    told = False
    for job_id, tenant_id, status, code, message in removing.leaving(session, job_ids):
        with tenants_scope(session, tenant_id):
            what = (
                status if status == attached.CANCELLED else code or status,
                message or f"its job has ended: {status}",
            )
            told |= attached.give_up(session, tenant_id, job_id, *what, limit=_FILES_AT_ONCE)
    return told


def forget_streams(client: redis.Redis, job_ids: Collection[uuid.UUID]) -> None:
    """Best effort: what Redis keeps when it can't be reached expires by itself."""
    try:
        if job_ids:
            client.unlink(*(stream.key(job_id) for job_id in job_ids))
    except redis.RedisError as error:
        log.warning("streams_not_forgotten", error=str(error))
