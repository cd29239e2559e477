"""Jobs that a worker may take."""

import time
import uuid
from typing import Any

from db.session import Sessions
from tasks.keys import Caller
from tests import tables
from workers import run
from workers.worker import Worker


def dispatched(sessions: Sessions, caller: Caller, **changes: Any) -> uuid.UUID:
    job_id = tables.submit(sessions, caller, **changes).id
    tables.dispatch(sessions, job_id)
    return job_id


def run_to_its_end(worker: Worker, job_id: uuid.UUID) -> None:
    """Runs a job as often as it is put off, and once more, waiting for nothing."""
    run.run(worker, job_id)
    while tables.column(worker.sessions, job_id, "status") == "scheduled":
        tables.dispatch(worker.sessions, job_id)
        worker.renew(time.monotonic())
        run.run(worker, job_id)
