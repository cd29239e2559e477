"""Steps that were taken before: known again by the model and all that it was asked, within a tenant.

Every function takes a session, never commits, and opens the tenant's scope itself.
"""

import datetime as dt
import hashlib
import json
import uuid
from collections.abc import Collection

from sqlalchemy.orm import Session

from db import summaries
from db.scope import scope
from tasks.jobs.requests import Stored

_RULES = 3  # of what is put to a model (`telling`) and kept of its answer (`keeping`): raise it where they change
UNUSED = dt.timedelta(days=30)  # then a step is forgotten


def digest(model: str, identity: str, put: Stored, asked: Stored) -> bytes:
    """Of a step: the SHA-256 of the model, its file, what is put to it, what of the answer is kept, and the rules."""
    whole = [_RULES, model, identity, dict(put.input), dict(put.params), dict(asked.params)]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).digest()


def known(session: Session, tenant_id: uuid.UUID, digests: Collection[bytes]) -> dict[bytes, str]:
    """What was answered to those of these steps that were taken."""
    with scope(session, tenant_id):
        return summaries.known_steps(session, tenant_id, digests)


def keep(session: Session, tenant_id: uuid.UUID, digest: bytes, text: str) -> str:
    """Notes what was answered to a step. Where another job has taken it meanwhile, that answer stays, and is told."""
    with scope(session, tenant_id):
        return summaries.keep_step(session, tenant_id, digest, text)


def forget(session: Session, tenant_id: uuid.UUID, most: int, *, kept_s: float | None = None) -> int:
    """Drops those of the tenant's steps that nothing has used for long, at most so many; how many. Sooner where jobs
    are kept for less. A use is noted once a day, so for a day they stay at least."""
    unused = UNUSED if kept_s is None else min(UNUSED, max(dt.timedelta(days=1), dt.timedelta(seconds=kept_s)))
    with scope(session, tenant_id):
        return summaries.forget_steps(session, tenant_id, unused, most)
