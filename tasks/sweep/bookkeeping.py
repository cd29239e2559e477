"""Chore: what jobs used is added up by the day, so that asking for a month of it costs no more as the ledger grows."""

import datetime as dt

import structlog
from sqlalchemy import Select
from sqlalchemy.orm import Session

from db import usage
from db.usage import Mark
from tasks.sweep.chore import NOTHING, FollowUp, Sweep

log = structlog.get_logger(__name__)

EVERY_S = 20.0
MARGIN_S = 10.0
_AT_ONCE = dt.timedelta(hours=6)  # of the busiest ledger as much as a statement adds up in a few seconds


def wanted(_: float) -> Select[int]:
    return usage.due(EVERY_S)


def add_up(sweep: Sweep) -> FollowUp:
    """A step every twenty seconds; every round, while there is more to be added than a step does."""
    with sweep.begin() as session:
        add(session, MARGIN_S)
    return NOTHING


def add(session: Session, margin_s: float) -> bool:
    """Adds some of what the note before allows; once that is done, notes how far the next may go, and returns True.

    Where a transaction that may still end jobs has been open since that note, nothing is added yet: what isn't added is
    read from the ledger (docs/adr/0018). Safe to repeat, beside others too: what is added and how far that goes are
    committed together.
    """
    mark = usage.locked(session)
    if mark.clock < mark.added_until:
        log.warning("usage_taken_back", clock=mark.clock.isoformat(), added_until=mark.added_until.isoformat())
        usage.take_back(session, mark.clock.astimezone(dt.UTC).date())
        return False
    done = mark.foreign or (mark.settled and _added(session, mark) == mark.closing)
    if done:
        usage.note(session, margin_s)
    return done


def _added(session: Session, mark: Mark) -> dt.datetime:
    """Adds some of what may be added; returns how far that went."""
    until = min(mark.closing, mark.added_until + _AT_ONCE)
    if mark.added_until == until:
        return until
    if not usage.add(session, mark.added_until, until):
        until = usage.first_ended(session, until, mark.closing) or mark.closing
    usage.move(session, until)
    return until
