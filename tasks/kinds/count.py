"""`count` and `count_chat`: how many tokens the model would read of what is asked of a response, or in a conversation,
without an answer."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from tasks.jobs import stages
from tasks.jobs.requests import Plan, Submission
from tasks.keys import Caller
from tasks.kinds.chat import ChatKind
from tasks.kinds.generation import Answer, Generation
from tasks.kinds.response import Asked, ResponseKind
from tasks.models.catalog import Catalog


class CountKind(ResponseKind):
    name = "count"
    converses = False

    def plan(self, session: Session, models: Catalog, caller: Caller, asked: Submission[Asked]) -> Plan:
        alone = replace(asked, request=replace(asked.request, search=None))  # what would be found isn't counted
        return replace(super().plan(session, models, caller, alone), stage=stages.COUNT)

    def result(self, answers: Sequence[Answer]) -> dict[str, Any]:
        raise NotImplementedError("its stage has no answer")


class CountChatKind(ChatKind):
    name = "count_chat"

    def plan(self, session: Session, models: Catalog, caller: Caller, asked: Submission[Generation]) -> Plan:
        return replace(super().plan(session, models, caller, asked), stage=stages.COUNT)

    def result(self, answers: Sequence[Answer]) -> dict[str, Any]:
        raise NotImplementedError("its stage has no answer")
