"""Chores: what nobody asks for any more is forgotten."""

import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial

import redis
import structlog
from sqlalchemy import Select, literal, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from db import idempotency, keys, rounds, tenants, workers
from db.session import told
from tasks import errors
from tasks.files import tidying
from tasks.jobs import erasing
from tasks.queues import broker
from tasks.summaries import choice, steps
from tasks.sweep.chore import NOTHING, FollowUp, Sweep
from tasks.vectorstores import stores

log = structlog.get_logger(__name__)

FORGET_WORKERS_S = 3600
FORGET_KEYS_S = 25 * 3600  # a day is what we promise
STEPS_EVERY_S = 60.0
DOCUMENTS_EVERY_S = 60.0
KEYS_EVERY_S = 3600.0
BINDINGS_EVERY_S = 86_400.0
TENANTS_EVERY_S = 60.0
FILES_EVERY_S = 60.0
STORES_EVERY_S = 60.0
FORGET_REVOKED_S = 90 * 86_400  # until then a key that is refused can be looked up: whose it was, and since when
_REVOKED, _SUSPENDED, _BINDINGS = "revoked_keys", "suspended_tenants", "bindings"
_SUSPENDED_AT_ONCE = 10
_ERASING_S = 0.3  # so long it erases in one round: the other chores have the rest
_STEPS, _DOCUMENTS, _FILES, _STORES = "summary_steps", "loose_documents", "files", "vector_stores"
_STORES_S = 0.3  # so long documents of expired stores are deleted in one round
_FILES_S = 0.5  # so long bytes are erased in one round, and no longer than the last of them takes
_UNUSED_S = 0.3  # so long rows of each sort that nobody uses any more are deleted in one round
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


def time_for_revoked_keys(_: float) -> Select[int]:
    return rounds.due(_REVOKED, KEYS_EVERY_S)


def revoked_keys(sweep: Sweep) -> FollowUp:
    with sweep.begin() as session:
        if rounds.begin(session, _REVOKED, KEYS_EVERY_S):
            keys.forget_revoked(session, FORGET_REVOKED_S)
    return NOTHING


def time_for_bindings(_: float) -> Select[int]:
    return rounds.due(_BINDINGS, BINDINGS_EVERY_S)


def bindings(sweep: Sweep) -> FollowUp:
    """Of workers and Flowers that are gone without a word, as of those that live: these come back."""
    with sweep.begin() as session:
        its_time = rounds.begin(session, _BINDINGS, BINDINGS_EVERY_S)
    if its_time:
        try:
            broker.forget_bindings(sweep.queues)
        except redis.RedisError as error:
            log.warning("bindings_not_forgotten", error=str(error))
    return NOTHING


def time_for_suspended_tenants(_: float) -> Select[int]:
    return rounds.due(_SUSPENDED, TENANTS_EVERY_S)


def suspended_tenants(sweep: Sweep) -> FollowUp:
    """Erases on where `forebay tenants erase` was cut off, in each round until it is done. Then looks once a minute for
    what a request left that was under way when its tenant was suspended, and ended after all was erased."""
    with sweep.begin() as session:
        if session.scalar(time_for_suspended_tenants(sweep.lease_s)) is None:
            return NOTHING  # PostgreSQL didn't say which chores are wanted
        drawn = tenants.some_suspended(session, _SUSPENDED_AT_ONCE)
    until = time.monotonic() + _ERASING_S

    def erased(tenant_id: uuid.UUID) -> bool:
        return erasing.go_on(sweep.stores, sweep.client, tenant_id, sweep.ttl_s, lambda: time.monotonic() < until)

    if _each(drawn, erased, until):
        with sweep.begin() as session:
            rounds.note(session, _SUSPENDED)
    return NOTHING


def _each(drawn: Sequence[uuid.UUID], done: Callable[[uuid.UUID], bool], until: float, *, are_all: bool = True) -> bool:
    """Does it for each tenant while there is time; whether that will do for a minute: not unless they `are_all`.

    It will too where something can't be done now: no store that hangs is asked in each round.
    """
    finished, failed = are_all, False
    for tenant_id in drawn:
        if time.monotonic() > until:
            finished = False
            break
        try:
            finished = done(tenant_id) and finished
        except (errors.ForebayError, SQLAlchemyError) as error:
            failed = True
            log.warning("not_erased_yet", tenant_id=str(tenant_id), error=told(error))
    return finished or failed


def time_for_steps(_: float) -> Select[int]:
    """Which steps there are only their own tenants see: so it is by the clock."""
    return rounds.due(_STEPS, STEPS_EVERY_S)


def unused_steps(sweep: Sweep) -> FollowUp:
    return all_of_some(sweep, time_for_steps, _STEPS, partial(steps.forget, kept_s=sweep.kept_s), _STEPS_AT_ONCE)


def time_for_documents(_: float) -> Select[int]:
    return rounds.due(_DOCUMENTS, DOCUMENTS_EVERY_S)


def loose_documents(sweep: Sweep) -> FollowUp:
    """Those that were brought for summaries which ended long ago."""
    return all_of_some(sweep, time_for_documents, _DOCUMENTS, choice.forget, _DOCUMENTS_AT_ONCE)


def time_for_files(_: float) -> Select[int]:
    return rounds.due(_FILES, FILES_EVERY_S)


def files(sweep: Sweep) -> FollowUp:
    """Files and uploads that have expired, and bytes of which nothing is left: once a minute of the tenants that have
    any, and in each round until there are none."""
    due = partial(tidying.due, stores=sweep.stores, limit=_TENANTS_AT_ONCE)
    return _tidied(sweep, time_for_files, _FILES, due, partial(tidying.tidy, sweep.stores), _FILES_S)


def time_for_stores(_: float) -> Select[int]:
    return rounds.due(_STORES, STORES_EVERY_S)


def vector_stores(sweep: Sweep) -> FollowUp:
    """What is in vector stores that have expired, as files are."""
    due = partial(stores.due, limit=_TENANTS_AT_ONCE)
    return _tidied(sweep, time_for_stores, _STORES, due, partial(stores.tidy, sweep), _STORES_S)


def all_of_some(
    sweep: Sweep,
    its_time: Callable[[float], Select[int]],
    name: str,
    forget: Callable[[Session, uuid.UUID, int], int],
    at_once: int,
) -> FollowUp:
    """Has all go that some tenants don't use any more, so many rows `at_once`: once a minute, or in the next round
    where there was no time for all. The tenants are drawn by lot, since only they see what is theirs."""
    with sweep.begin() as session:
        if session.scalar(its_time(sweep.lease_s)) is None:
            return NOTHING  # PostgreSQL didn't say which chores are wanted
        drawn = tenants.some(session, _TENANTS_AT_ONCE)
    until = time.monotonic() + _UNUSED_S

    def forgotten(tenant_id: uuid.UUID) -> bool:
        while time.monotonic() < until:
            with sweep.begin() as session:
                if forget(session, tenant_id, at_once) < at_once:
                    return True
        return False

    if _each(drawn, forgotten, until):
        with sweep.begin() as session:
            rounds.note(session, name)
    return NOTHING


def _tidied(
    sweep: Sweep,
    its_time: Callable[[float], Select[int]],
    name: str,
    due: Callable[[Session], list[uuid.UUID]],
    tidy: Callable[[uuid.UUID, Callable[[], bool]], bool],
    for_s: float,
) -> FollowUp:
    """Tidies up for some tenants for so long; nothing where it isn't time, or no tenant has anything that is due."""
    with sweep.begin() as session:
        if session.scalar(its_time(sweep.lease_s)) is None:
            return NOTHING  # PostgreSQL didn't say which chores are wanted
        drawn = due(session)
    until = time.monotonic() + for_s

    def tidied(tenant_id: uuid.UUID) -> bool:
        return tidy(tenant_id, lambda: time.monotonic() < until)

    if _each(drawn, tidied, until, are_all=len(drawn) < _TENANTS_AT_ONCE):
        with sweep.begin() as session:
            rounds.note(session, name)
    return NOTHING
