"""Chore: dispatched jobs whose message Redis lost are sent again."""

import uuid
from collections.abc import Sequence

import redis
import structlog
from sqlalchemy import SelectBase
from sqlalchemy.orm import Session

from db import jobs, windows, workers
from tasks.jobs import lifecycle
from tasks.queues import broker
from tasks.queues.window import WakeUp
from tasks.sweep.chore import FollowUp, Sweep

log = structlog.get_logger(__name__)

# A message needs a moment from the window's commit to Redis and from Redis to the claim.
EN_ROUTE_S = 2.0


def send_again(sweep: Sweep) -> FollowUp:
    """Finds them by what Redis holds of a queue: however long a job waits there for a slot, it isn't sent again.

    Jobs that are too late to start aren't sent, nor missed.
    """
    with sweep.begin() as session:
        strengths = workers.strengths(session, sweep.lease_s)
        served = {queue: wake_ups for queue, wake_ups in _sent(session).items() if queue in strengths}
    missing = [wake_up for queue, wake_ups in served.items() for wake_up in _missing(sweep.queues, queue, wake_ups)]
    if missing:
        with sweep.begin() as session:
            lifecycle.mark_sent(session, [wake_up.job_id for wake_up in missing])
        log.info("sent_again", jobs=len(missing))
    return FollowUp(wake_ups=missing)


def wanted(_: float) -> SelectBase:
    return windows.sent_long_ago(EN_ROUTE_S)


def _sent(session: Session) -> dict[str, Sequence[WakeUp]]:
    """By queue, the dispatched jobs whose message a worker should have taken by now, the oldest first."""
    by_queue: dict[str, list[WakeUp]] = {}
    for job_id, queue, lane in windows.sent_before(session, EN_ROUTE_S):
        by_queue.setdefault(queue, []).append(WakeUp(job_id, broker.lane(queue, lane)))
    return dict(by_queue)


def _missing(client: redis.Redis, queue: str, wake_ups: Sequence[WakeUp]) -> list[WakeUp]:
    """Those whose message isn't in Redis; none when it can't be asked."""
    try:
        there = set[uuid.UUID]().union(*(broker.waiting(client, broker.lane(queue, lane)) for lane in jobs.LANES))
    except redis.RedisError as error:
        log.warning("redis_unreachable", error=str(error))
        return []
    return [wake_up for wake_up in wake_ups if wake_up.job_id not in there]
