"""`rag`: a question answered from the passages of a collection that belong to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy.orm import Session

from tasks import errors
from tasks.documents import citing, followups, questions, ranking
from tasks.documents.followups import Said
from tasks.documents.questions import Example
from tasks.jobs import stages
from tasks.jobs.requests import Plan, Stored, Submission
from tasks.keys import Caller
from tasks.kinds import generation
from tasks.kinds.generation import Answer, Generation, Text, Turn
from tasks.kinds.kind import Answering, Composed, Measure
from tasks.kinds.sampling import Sampling
from tasks.models import choosing
from tasks.models.catalog import Catalog, Model
from tasks.vectorstores import stores

TOP_K = 5
# Of sixty questions (`make quality`) those about something else altogether score 0.21 at most, and those that are
# answered 0.44 at least; a question in other words than the answer's scores between.
THRESHOLD = 0.22

# What is stored of a question beside how it is answered.
_OWN = ("question", "collection", "top_k", "messages", "threshold", "filter", "rerank", "neighbours")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of which collection, from how many passages; `answer` is how, its turns come with the passages.

    `history` is the conversation before it. Only passages of `threshold` or more are read, of documents that pass the
    filter; without a threshold, those that may have to do with the question. Each is read with so many `neighbours`
    before and after it. `rerank` names the model that chooses
    among more passages than are read; True takes the catalogue's default.
    """

    question: str
    collection: str
    top_k: int = TOP_K
    answer: Generation = field(default_factory=Generation)
    history: tuple[Said, ...] = ()
    threshold: float | None = None
    filter: Mapping[str, Any] | None = None
    rerank: bool | str = False
    neighbours: int = 0

    def to_json(self) -> Stored:
        how = self.answer.to_json()
        asked = {
            "question": self.question,
            "collection": self.collection,
            "top_k": self.top_k,
            "messages": [{"role": said.role, "content": said.text} for said in self.history] or None,
            "threshold": self.threshold,
            "filter": None if self.filter is None else dict(self.filter),
            "rerank": self.rerank or None,
            "neighbours": self.neighbours or None,
        }
        return Stored({**how.input, **{name: each for name, each in asked.items() if each is not None}}, how.params)


class RagKind(Answering[Question]):
    name = "rag"
    serves = "chat"

    def parse(self, stored: Stored) -> Question:
        given = stored.input
        how = {name: each for name, each in given.items() if name not in _OWN}
        return Question(
            question=given["question"],
            collection=given["collection"],
            top_k=given.get("top_k", TOP_K),
            answer=generation.from_json(Stored(how, stored.params)),
            history=tuple(Said(turn["role"], turn["content"]) for turn in given.get("messages", ())),
            threshold=given.get("threshold"),
            filter=given.get("filter"),
            rerank=given.get("rerank", False),
            neighbours=given.get("neighbours", 0),
        )

    def plan(self, session: Session, models: Catalog, caller: Caller, asked: Submission[Question]) -> Plan:
        """The question is embedded by the collection's model first, after it was made one of its own where it follows a
        conversation. Raises like every kind, `InvalidField` for a collection that the tenant doesn't have."""
        chat = choosing.model_for(models, self.serves, asked.model)
        embedder = _embedder(session, models, caller, asked.request.collection)
        choosing.refuse_what_it_lacks(chat, asked.request.answer.given())
        for model in (chat, embedder):
            choosing.refuse_what_cannot_fit(model, "input.question", asked.request.question)
        if rerank := asked.request.rerank:
            asked = replace(asked, request=replace(asked.request, rerank=_reranker(models, rerank).name))
        if asked.request.history:
            return Plan(asked, stages.REWRITE, chat.name, chat.name)
        return Plan(asked, stages.RETRIEVE, embedder.name, chat.name)

    def compose(self, request: Question, stage_input: Mapping[str, Any], context: int, measure: Measure) -> Composed:
        """The question with as many of the passages found as leave room for the answer."""
        question = stage_input.get("question", request.question)

        def asked(content: str) -> Generation:
            return _put(request.answer, content, questions.examples(), measure)

        budget = context - questions.room(request.answer.max_tokens, context)
        passages = questions.fitting(
            question, stage_input.get("passages", []), lambda content: measure(asked(content)), budget
        )
        put = asked(questions.prompt(question, passages))
        return Composed(put, passages, question, plain=not measure.instructed)

    def follow_up(self, request: Question, context: int, measure: Measure) -> Composed:
        """What is put to the model that it makes a question of its own, with as much of the conversation as fits."""
        greedy = Generation(sampling=Sampling(temperature=0), max_tokens=followups.MAX_TOKENS)

        def asked(content: str) -> Generation:
            return _put(greedy, content, followups.examples(), measure)

        budget = context - followups.MAX_TOKENS
        history = followups.fitting(request.history, request.question, lambda content: measure(asked(content)), budget)
        return Composed(asked(followups.prompt(history, request.question)), plain=not measure.instructed)

    def result(self, answers: Sequence[Answer]) -> dict[str, Any]:
        [answer] = answers
        answered = not questions.refuses(answer.text)
        return {
            "text": answer.text,
            "finish_reason": answer.finish_reason,
            "answered": answered,
            "question": answer.question,
            "passages": answer.passages,
            "citations": citing.cite(answer.text, answer.passages, answer.question or "") if answered else [],
        }


def nothing(question: str, text: str) -> dict[str, Any]:
    """The result where no passage passes: a text that says so."""
    told = {"text": text, "finish_reason": "stop", "answered": False, "question": question}
    return told | {"passages": [], "citations": []}


def _put(how: Generation, content: str, examples: Sequence[Example], measure: Measure) -> Generation:
    """What is asked of the model: in a turn, or as a text to go on with after examples, to the end of its line."""
    if measure.instructed:
        return replace(how, turns=(Turn("user", (Text(content),)),))
    return replace(how, prompt=questions.continued(content, examples), stop=(*how.stop, "\n"))


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
        stores.searched(session, caller, collection)
    except (errors.NotFound, errors.Conflict) as error:
        raise errors.InvalidField("input.collection", str(error)) from error
    embedder = models.get(found.model)
    if embedder is None:
        raise errors.ModelUnknown("input.collection", f"its model {found.model!r} is no longer served")
    return embedder
