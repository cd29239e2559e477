"""Files attached to a vector store: the job that does it, and what is wrong with what was asked."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from dialects.openai.requests import vector_stores as requests
from tasks import errors, kinds
from tasks.documents.attaching import Attached
from tasks.doors.submitting import Make
from tasks.jobs.requests import Plan, Submission
from tasks.jobs.view import JobView
from tasks.kinds.ingest import Ingest
from tasks.vectorstores import stores
from webapi import auth, requestlog, service


def plan(session: Session, store_id: uuid.UUID, files: Sequence[Attached]) -> Plan:
    """The job that reads these files into the store. Raises `NotFound`, `Conflict`, `InvalidField`, `ModelUnknown`."""
    caller = auth.caller()
    stores.require_alive(session, caller, store_id, keep=True)
    stores.use(session, caller, [store_id])
    asked = Submission("ingest", None, Ingest(stores.collection_name(store_id), files=tuple(files)))
    return kinds.plan(session, service.current().catalog, caller, asked)


def accepted(make: Make, given: Mapping[str, Any]) -> JobView:
    """The job, accepted. `InvalidField` names what the request calls it."""
    try:
        job, _ = service.current().desk.accept(auth.caller(), make)
    except errors.InvalidField as error:
        raise requests.renamed(error, given) from error
    requestlog.about_job(job.id)
    return job
