"""Files attached to a vector store: the job that does it, and what is wrong with what was asked."""

import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from dialects.openai.requests import vector_stores as requests
from tasks import errors, kinds
from tasks.documents.attaching import Attached
from tasks.doors.submitting import Make
from tasks.jobs.requests import Plan, Submission
from tasks.jobs.view import JobView
from tasks.kinds.ingest import Ingest
from tasks.vectorstores import files, stores
from tasks.vectorstores.files import StoredFile
from webapi import auth, requestlog, service


class _Stands(errors.ForebayError):
    """The file was attached at this moment."""


def one(store_id: uuid.UUID, wanted: Attached, given: Mapping[str, Any]) -> StoredFile:
    """The file in the store: it is attached by a job, unless it is there already and cut so. Raises like `plan`."""
    serving, caller = service.current(), auth.caller()
    standing = partial(files.standing, models=serving.catalog, caller=caller, store_id=store_id, wanted=wanted)

    def make(session: Session) -> Plan:
        if standing(session):
            raise _Stands
        return plan(session, store_id, [wanted])

    while True:
        with serving.sessions.begin() as session:
            found = standing(session)
        if found is not None:
            return found
        with suppress(_Stands):
            accepted(make, given)
            with serving.sessions.begin() as session:
                return files.get(session, caller, store_id, wanted.file_id)


def plan(session: Session, store_id: uuid.UUID, wanted: Sequence[Attached]) -> Plan:
    """The job that reads these files into the store. Raises `NotFound`, `Conflict`, `InvalidField`, `ModelUnknown`."""
    caller = auth.caller()
    stores.require_alive(session, caller, store_id, keep=True)
    stores.use(session, caller, [store_id])
    asked = Submission("ingest", None, Ingest(stores.collection_name(store_id), files=tuple(wanted)))
    return kinds.plan(session, service.current().catalog, caller, asked)


def accepted(make: Make, given: Mapping[str, Any]) -> JobView:
    """The job, accepted. `InvalidField` names what the request calls it."""
    try:
        job, _ = service.current().desk.accept(auth.caller(), make)
    except errors.InvalidField as error:
        raise requests.renamed(error, given) from error
    requestlog.about_job(job.id)
    return job
