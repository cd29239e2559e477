"""`reverse`, as it would stand in `tasks/kinds`: a text told backwards, without a model."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from tasks.jobs.requests import Plan, Stored, Submission
from tasks.keys import Caller
from tasks.kinds.kind import Kind
from tasks.models import catalog
from tasks.models.catalog import Catalog

STAGE = "reverse"


@dataclass(frozen=True, slots=True)
class Reversal:
    """A text to turn round."""

    prompt: str

    def to_json(self) -> Stored:
        return Stored({"prompt": self.prompt}, {})


class ReverseKind(Kind[Reversal]):
    name = "reverse"

    def parse(self, stored: Stored) -> Reversal:
        return Reversal(stored.input["prompt"])

    def plan(self, session: Session, models: Catalog, caller: Caller, asked: Submission[Reversal]) -> Plan:
        del session, models, caller
        return Plan(asked, STAGE, catalog.CONTROL, catalog.CONTROL)
