"""Chore: the words of jobs that aren't to be kept are forgotten once no stream of theirs can be read any more."""

import uuid

from sqlalchemy import Select

from db import unstored
from tasks import settings
from tasks.sweep.chore import NOTHING, FollowUp, Sweep

_AT_ONCE = 500


def forget(sweep: Sweep) -> FollowUp:
    with sweep.begin() as session:
        unstored.forget(session, sweep.ttl_s, _AT_ONCE)
    return NOTHING


def wanted(_: float) -> Select[uuid.UUID]:
    """A shorter life of streams than the usual one doesn't hasten it."""
    return unstored.due(settings.STREAM_TTL_S, 1)
