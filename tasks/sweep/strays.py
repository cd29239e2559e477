"""Chore: rows whose job is gone are told of, since no foreign key keeps them from being there."""

import structlog
from sqlalchemy import Select

from db import rounds, strays
from tasks.sweep.chore import NOTHING, FollowUp, Sweep

log = structlog.get_logger(__name__)

EVERY_S = 60.0
_NAME = "strays"


def wanted(_: float) -> Select[int]:
    return rounds.due(_NAME, EVERY_S)


def tell(sweep: Sweep) -> FollowUp:
    """Looks at some rows once a minute. What it finds stays as it is: a person deleted jobs, or we have erred."""
    with sweep.begin() as session:
        found = strays.some(session) if rounds.begin(session, _NAME, EVERY_S) else {}
    for table, job_ids in found.items():
        log.error("rows_without_their_job", table=table, jobs=len(job_ids), for_example=str(job_ids[0]))
    return NOTHING
