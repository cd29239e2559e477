"""Which documents are summarised: named ones, or all of a collection.

Every function takes a session, never commits, and opens the tenant's scope itself.
"""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from db import summaries
from db.documents import chosen, collections
from db.scope import scope
from tasks import errors, ids
from tasks.documents import library
from tasks.keys import Caller

MAX_DOCUMENTS = 10_000
UNUSED = dt.timedelta(days=7)  # then a document without a collection is deleted


def of_collection(session: Session, caller: Caller, name: str) -> tuple[uuid.UUID, ...]:
    """The documents that are ready in it now. Raises `InvalidField` where there are none, or too many."""
    with scope(session, caller.tenant_id):
        home = collections.find(session, caller.tenant_id, name)
        found = chosen.ready(session, caller.tenant_id, home.id, MAX_DOCUMENTS + 1) if home else []
    if home is None:
        raise errors.InvalidField("collection", str(library.no_collection(name)))
    if not found:
        raise errors.InvalidField("collection", f"no document of {name} is ready")
    if len(found) > MAX_DOCUMENTS:
        raise errors.InvalidField("collection", f"{name} has more than {MAX_DOCUMENTS} documents: name some of them")
    return tuple(found)


def take(session: Session, caller: Caller, document_ids: Sequence[uuid.UUID], job_id: uuid.UUID) -> None:
    """`check`, and has those that can wait for this job wait for it: no other takes them then."""
    free = check(session, caller, document_ids)
    with scope(session, caller.tenant_id):
        chosen.name_job(session, caller.tenant_id, document_ids, job_id)
        if not free:
            return
        taken = chosen.give_job(session, caller.tenant_id, free, job_id)
    for number, document_id in enumerate(document_ids):
        if document_id in free and document_id not in taken:
            raise _not_ready(number, document_id, "pending")


def check(session: Session, caller: Caller, document_ids: Sequence[uuid.UUID]) -> Mapping[uuid.UUID, uuid.UUID | None]:
    """Those of these documents that a summary may take: brought for one, they wait for no job, or for this one that has
    ended. Raises `InvalidField` for the first that isn't there, is named twice, or is neither free nor ready."""
    with scope(session, caller.tenant_id):
        there = chosen.states(session, caller.tenant_id, document_ids)
    waited_for = {each.job_id for each in there.values() if each.loose and each.status == "pending" and each.job_id}
    live = summaries.unfinished(session, waited_for)
    free: dict[uuid.UUID, uuid.UUID | None] = {}
    seen = set[uuid.UUID]()
    for number, document_id in enumerate(document_ids):
        if document_id not in there:
            raise errors.InvalidField(f"documents.{number}", f"no document {ids.show(document_id, ids.DOCUMENT)}")
        if document_id in seen:
            raise errors.InvalidField(f"documents.{number}", f"{ids.show(document_id, ids.DOCUMENT)} is named twice")
        state = there[document_id]
        if state.status == "pending" and state.loose and state.job_id not in live:
            free[document_id] = state.job_id
        elif state.status != "ready":
            raise _not_ready(number, document_id, state.status)
        seen.add(document_id)
    return free


def name_again(session: Session, caller: Caller, document_ids: Sequence[uuid.UUID], job_id: uuid.UUID) -> None:
    """Keeps those of these documents that are in no collection for the job, which is the last to name them."""
    with scope(session, caller.tenant_id):
        chosen.name_job(session, caller.tenant_id, document_ids, job_id)


def forget(session: Session, tenant_id: uuid.UUID, most: int) -> int:
    """Deletes the tenant's documents without a collection that no summary has named for long, at most so many; how
    many."""
    with scope(session, tenant_id):
        named_by = chosen.loose_jobs(session, tenant_id, UNUSED, most)
    of_late = summaries.of_late(session, named_by, UNUSED)
    with scope(session, tenant_id):
        return chosen.forget_loose(session, tenant_id, UNUSED, [id for id in named_by if id not in of_late], most)


def _not_ready(number: int, document_id: uuid.UUID, status: str) -> errors.InvalidField:
    shown = ids.show(document_id, ids.DOCUMENT)
    return errors.InvalidField(f"documents.{number}", f"{shown} isn't ready: it is {status}")
