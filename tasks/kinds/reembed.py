"""`reembed`: a collection's chunks embedded by another model, which takes the place of its own at the end."""

import uuid
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from db.jobs import Job
from tasks import ids
from tasks.documents import reembedding
from tasks.jobs import stages
from tasks.jobs.requests import Plan, Stored, Submission
from tasks.keys import Caller
from tasks.kinds.kind import Kind
from tasks.models.catalog import Catalog


@dataclass(frozen=True, slots=True)
class Reembedding:
    """Which collection, by its name, and by its id once that was found."""

    collection: str
    collection_id: uuid.UUID | None = None

    def to_json(self) -> Stored:
        found = {"collection_id": str(self.collection_id)} if self.collection_id else {}
        return Stored({"collection": self.collection, **found}, {})


class ReembedKind(Kind[Reembedding]):
    name = "reembed"
    serves = "embed"

    def parse(self, stored: Stored) -> Reembedding:
        found = stored.input.get("collection_id")
        return Reembedding(stored.input["collection"], uuid.UUID(found) if found else None)

    def plan(self, session: Session, models: Catalog, caller: Caller, asked: Submission[Reembedding]) -> Plan:
        """Writes down too that the job is at it.

        Raises `NotFound`, `ModelUnknown`, `InvalidField` for a model that won't do, `Conflict` while another is at it.
        """
        job_id, name = ids.new(), asked.request.collection
        found, model = reembedding.begin(session, models, caller.tenant_id, name, asked.model, job_id)
        stored = replace(asked.request, collection_id=found)
        return Plan(replace(asked, request=stored), stages.REEMBED, model.name, model.name, job_id)

    def again(
        self, session: Session, models: Catalog, caller: Caller, asked: Submission[Reembedding], old: Job
    ) -> Plan:
        """Goes on with what the old job left, unless something else was begun since."""
        return self.plan(session, models, caller, replace(asked, model=old.model))
