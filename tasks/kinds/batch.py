"""`batch`: a file of requests, each line of which becomes a job; their answers become files."""

import uuid
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from db.jobs import Job
from tasks import errors, ids
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
        kept: dict[str, Any] = {} if new.output_kept_s is None else {"output_kept_s": new.output_kept_s}
        if new.takes_over is not None:
            kept["takes_over"] = ids.show(new.takes_over, ids.BATCH)
        if new.owns_input:
            kept[batches.OWNS_INPUT] = True
        return Stored(given, {"completion_window": new.window, "window_s": new.window_s, **kept})


class BatchKind(Kind[BatchRequest]):
    name = batches.KIND

    def parse(self, stored: Stored) -> BatchRequest:
        given, params = stored.input, stored.params
        file_id = ids.parse(given["input_file_id"], ids.FILE)
        assert isinstance(file_id, uuid.UUID)
        window = params["completion_window"], params["window_s"]
        earlier = ids.parse(params.get("takes_over", ""), ids.BATCH)
        new = NewBatch(given["endpoint"], file_id, *window, params.get("output_kept_s"), earlier)
        return BatchRequest(replace(new, owns_input=params.get(batches.OWNS_INPUT, False)))

    def plan(self, session: Session, models: Catalog, caller: Caller, asked: Submission[BatchRequest]) -> Plan:
        """Writes the batch down too. Raises `InvalidField` for a file that can't be a batch's."""
        del models
        job_id = ids.new()
        batches.begin(session, caller, asked.request.new, job_id)
        in_lane = replace(asked, lane="batch")
        return Plan(in_lane, stages.CHECK_LINES, catalog.CONTROL, catalog.CONTROL, job_id, chances=CHANCES)

    def again(
        self, session: Session, models: Catalog, caller: Caller, asked: Submission[BatchRequest], old: Job
    ) -> Plan:
        """A batch of the same file that takes over what the old one has answers to. Raises `Conflict`."""
        batches.require_failures(session, caller, old.id)
        taking_over = BatchRequest(replace(asked.request.new, takes_over=old.id))
        try:
            return self.plan(session, models, caller, replace(asked, request=taking_over))
        except errors.InvalidField as error:
            raise errors.Conflict("its file is gone: what was asked can't be asked again") from error
