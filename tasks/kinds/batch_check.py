"""`batch_check`: a file of requests looked at, as a batch would look at it, and nothing of it run."""

import uuid
from dataclasses import dataclass

from sqlalchemy.orm import Session

from tasks import ids
from tasks.batches import batches
from tasks.jobs import stages
from tasks.jobs.requests import Plan, Stored, Submission
from tasks.keys import Caller
from tasks.kinds.kind import Kind
from tasks.models import catalog
from tasks.models.catalog import Catalog


@dataclass(frozen=True, slots=True)
class BatchCheck:
    """Which file, and what its requests are for."""

    endpoint: str
    input_file_id: uuid.UUID

    def to_json(self) -> Stored:
        return Stored({"input_file_id": ids.show(self.input_file_id, ids.FILE), "endpoint": self.endpoint}, {})


class BatchCheckKind(Kind[BatchCheck]):
    name = "batch_check"

    def parse(self, stored: Stored) -> BatchCheck:
        file_id = ids.parse(stored.input["input_file_id"], ids.FILE)
        assert isinstance(file_id, uuid.UUID)
        return BatchCheck(stored.input["endpoint"], file_id)

    def plan(self, session: Session, models: Catalog, caller: Caller, asked: Submission[BatchCheck]) -> Plan:
        """Raises `InvalidField` for a file that can't be a batch's."""
        del models
        batches.require_file(session, caller, asked.request.input_file_id)
        return Plan(asked, stages.SURVEY_LINES, catalog.CONTROL, catalog.CONTROL)
