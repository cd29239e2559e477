"""`rag`: a question answered from the passages of a collection that belong to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy.orm import Session

from tasks import errors
from tasks.documents import questions, ranking
from tasks.jobs import stages
from tasks.jobs.requests import Plan, Stored, Submission
from tasks.keys import Caller
from tasks.kinds import generation
from tasks.kinds.generation import Answer, Generation, Text, Turn
from tasks.kinds.kind import Answering, Composed, Measure
from tasks.models import choosing
from tasks.models.catalog import Catalog, Model

TOP_K = 5


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of which collection, from how many passages; `answer` is how, its turns come with the passages.

    `rerank` names the model that puts the passages into order; True takes the catalogue's default.
    """

    question: str
    collection: str
    top_k: int = TOP_K
    answer: Generation = field(default_factory=Generation)
    rerank: bool | str = False

    def to_json(self) -> Stored:
        how = self.answer.to_json()
        asked = {"question": self.question, "collection": self.collection, "top_k": self.top_k}
        asked |= {"rerank": self.rerank} if self.rerank else {}
        return Stored({**how.input, **asked}, how.params)


class RagKind(Answering[Question]):
    name = "rag"
    serves = "chat"

    def parse(self, stored: Stored) -> Question:
        given = stored.input
        top_k, rerank = given.get("top_k", TOP_K), given.get("rerank", False)
        return Question(given["question"], given["collection"], top_k, generation.from_json(stored), rerank)

    def plan(self, session: Session, models: Catalog, caller: Caller, asked: Submission[Question]) -> Plan:
        """The question is embedded by the collection's model first. Raises like every kind, `InvalidField` for a
        collection that the tenant doesn't have."""
        chat = choosing.model_for(models, self.serves, asked.model)
        embedder = _embedder(session, models, caller, asked.request.collection)
        choosing.refuse_what_it_lacks(chat, asked.request.answer.given())
        for model in (chat, embedder):
            choosing.refuse_what_cannot_fit(model, "input.question", asked.request.question)
        if rerank := asked.request.rerank:
            asked = replace(asked, request=replace(asked.request, rerank=_reranker(models, rerank).name))
        return Plan(asked, stages.RETRIEVE, embedder.name, chat.name)

    def compose(self, request: Question, stage_input: Mapping[str, Any], context: int, measure: Measure) -> Composed:
        """The question with as many of the passages found as leave room for the answer."""

        def asked(content: str) -> Generation:
            return replace(request.answer, turns=(Turn("user", (Text(content),)),))

        budget = context - questions.room(request.answer.max_tokens, context)
        passages = questions.fitting(
            request.question, stage_input.get("passages", []), lambda content: measure(asked(content)), budget
        )
        return Composed(asked(questions.prompt(request.question, passages)), passages)

    def result(self, answers: Sequence[Answer]) -> dict[str, Any]:
        [answer] = answers
        return {"text": answer.text, "finish_reason": answer.finish_reason, "passages": answer.passages}


def _reranker(models: Catalog, rerank: bool | str) -> Model:
    """The model of that name, or the catalogue's default. Raises `ModelUnknown`."""
    try:
        return choosing.model_for(models, "rerank", None if rerank is True else str(rerank))
    except errors.ModelUnknown as error:
        raise errors.ModelUnknown("input.rerank", str(error)) from error


def _embedder(session: Session, models: Catalog, caller: Caller, collection: str) -> Model:
    """The model of the collection's vectors."""
    try:
        found = ranking.collection_of(session, caller, collection)
    except errors.NotFound as error:
        raise errors.InvalidField("input.collection", str(error)) from error
    embedder = models.get(found.model)
    if embedder is None:
        raise errors.ModelUnknown("input.collection", f"its model {found.model!r} is no longer served")
    return embedder
