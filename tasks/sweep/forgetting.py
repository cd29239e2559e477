"""Chores: what nobody asks for any more is forgotten."""

from sqlalchemy import Select, literal, select

from db import idempotency, workers
from tasks.sweep.chore import NOTHING, FollowUp, Sweep

FORGET_WORKERS_S = 3600
FORGET_KEYS_S = 25 * 3600  # a day is what we promise


def long_silent(_: float) -> Select[int]:
    return select(literal(1)).where(workers.silent_since(FORGET_WORKERS_S))


def silent_workers(sweep: Sweep) -> FollowUp:
    with sweep.begin() as session:
        workers.remove_silent_since(session, FORGET_WORKERS_S)
    return NOTHING


def old_keys(_: float) -> Select[int]:
    return select(literal(1)).where(idempotency.older_than(FORGET_KEYS_S))


def idempotency_keys(sweep: Sweep) -> FollowUp:
    with sweep.begin() as session:
        idempotency.forget_older_than(session, FORGET_KEYS_S)
    return NOTHING
