"""Chores: what nobody asks for any more is forgotten."""

from sqlalchemy import Select, literal, select

from db import idempotency, rounds, tenants, workers
from tasks.summaries import choice, steps
from tasks.sweep.chore import NOTHING, FollowUp, Sweep

FORGET_WORKERS_S = 3600
FORGET_KEYS_S = 25 * 3600  # a day is what we promise
STEPS_EVERY_S = 60.0
DOCUMENTS_EVERY_S = 60.0
_STEPS, _DOCUMENTS = "summary_steps", "loose_documents"
_TENANTS_AT_ONCE, _STEPS_AT_ONCE, _DOCUMENTS_AT_ONCE = 50, 500, 100


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


def time_for_steps(_: float) -> Select[int]:
    """Which steps there are only their own tenants see: so it is by the clock."""
    return rounds.due(_STEPS, STEPS_EVERY_S)


def unused_steps(sweep: Sweep) -> FollowUp:
    """Once a minute, of some tenants, drawn by lot: in time each is looked at, and a look costs the same."""
    with sweep.begin() as session:
        rounds.note(session, _STEPS)
        drawn = tenants.some(session, _TENANTS_AT_ONCE)
    for tenant_id in drawn:
        with sweep.begin() as session:
            steps.forget(session, tenant_id, _STEPS_AT_ONCE)
    return NOTHING


def time_for_documents(_: float) -> Select[int]:
    return rounds.due(_DOCUMENTS, DOCUMENTS_EVERY_S)


def loose_documents(sweep: Sweep) -> FollowUp:
    """Those that were brought for summaries which ended long ago, of some tenants as steps are."""
    with sweep.begin() as session:
        rounds.note(session, _DOCUMENTS)
        drawn = tenants.some(session, _TENANTS_AT_ONCE)
    for tenant_id in drawn:
        with sweep.begin() as session:
            choice.forget(session, tenant_id, _DOCUMENTS_AT_ONCE)
    return NOTHING
