"""Which documents are summarised: named ones, or all of a collection.

Every function takes a session, never commits, and opens the tenant's scope itself.
"""

import uuid
from collections.abc import Sequence

from sqlalchemy.orm import Session

from db.documents import chosen, collections
from db.scope import scope
from tasks import errors, ids
from tasks.documents import library
from tasks.keys import Caller

MAX_DOCUMENTS = 10_000


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
    """`check`, and has those that wait for a job wait for this one."""
    check(session, caller, document_ids)
    with scope(session, caller.tenant_id):
        chosen.give_job(session, caller.tenant_id, document_ids, job_id)


def check(session: Session, caller: Caller, document_ids: Sequence[uuid.UUID]) -> None:
    """Raises `InvalidField` for the first of these that isn't there, is named twice, or is neither ready nor waiting
    for a summary that asks for it."""
    with scope(session, caller.tenant_id):
        there = chosen.statuses(session, caller.tenant_id, document_ids)
    seen = set[uuid.UUID]()
    for number, document_id in enumerate(document_ids):
        field, shown = f"documents.{number}", ids.show(document_id, ids.DOCUMENT)
        if document_id not in there:
            raise errors.InvalidField(field, f"no document {shown}")
        if document_id in seen:
            raise errors.InvalidField(field, f"{shown} is named twice")
        status, free = there[document_id]
        if status != "ready" and not free:
            raise errors.InvalidField(field, f"{shown} isn't ready: it is {status}")
        seen.add(document_id)
