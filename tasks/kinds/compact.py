"""`compact`: a conversation summed up by the model, so that it goes on from a few words instead of all of them."""

from dataclasses import replace

from sqlalchemy.orm import Session

from tasks.jobs.requests import Plan, Submission
from tasks.keys import Caller
from tasks.kinds.response import Asked, ResponseKind
from tasks.models.catalog import Catalog


class CompactKind(ResponseKind):
    name = "compact"

    def plan(self, session: Session, models: Catalog, caller: Caller, asked: Submission[Asked]) -> Plan:
        return replace(super().plan(session, models, caller, asked), conversation_id=None)
