"""Chore: the words of jobs that aren't to be kept are erased once their streams have expired."""

import uuid

from sqlalchemy import Select

from db import erasing
from tasks import settings
from tasks.sweep.chore import NOTHING, FollowUp, Sweep

_AT_ONCE = 500


def erase(sweep: Sweep) -> FollowUp:
    with sweep.begin() as session:
        erasing.erase(session, sweep.ttl_s, _AT_ONCE)
    return NOTHING


def wanted(_: float) -> Select[uuid.UUID]:
    """A shorter life of streams than the usual one doesn't hasten it."""
    return erasing.due(settings.STREAM_TTL_S, 1)
