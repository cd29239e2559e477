"""`batch`: a file of requests, each line of which becomes a job; their answers become files."""

import uuid
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from tasks import ids
from tasks.batches import batches
from tasks.batches.batches import NewBatch
from tasks.jobs import stages
from tasks.jobs.requests import Plan, Stored, Submission
from tasks.keys import Caller
from tasks.kinds.kind import Kind
from tasks.models import catalog
from tasks.models.catalog import Catalog

CHANCES = 10  # each stage goes on where the one before it died: only who dies again and again in one place is at fault


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """What `batches` is to begin."""

    new: NewBatch

    def to_json(self) -> Stored:
        new = self.new
        given = {"input_file_id": ids.show(new.input_file_id, ids.FILE), "endpoint": new.endpoint}
        kept = {} if new.output_kept_s is None else {"output_kept_s": new.output_kept_s}
        return Stored(given, {"completion_window": new.window, "window_s": new.window_s, **kept})


class BatchKind(Kind[BatchRequest]):
    name = batches.KIND

    def parse(self, stored: Stored) -> BatchRequest:
        given, params = stored.input, stored.params
        file_id = ids.parse(given["input_file_id"], ids.FILE)
        assert isinstance(file_id, uuid.UUID)
        window = params["completion_window"], params["window_s"]
        return BatchRequest(NewBatch(given["endpoint"], file_id, *window, params.get("output_kept_s")))

    def plan(self, session: Session, models: Catalog, caller: Caller, asked: Submission[BatchRequest]) -> Plan:
        """Writes the batch down too. Raises `InvalidField` for a file that can't be a batch's."""
        del models
        job_id = ids.new()
        batches.begin(session, caller, asked.request.new, job_id)
        in_lane = replace(asked, lane="batch")
        return Plan(in_lane, stages.CHECK_LINES, catalog.CONTROL, catalog.CONTROL, job_id, chances=CHANCES)
