"""`summary`: documents summarised one by one, and all of them together where that is asked.

A summary is a family: a job for the whole, a child for each document, and for a document that one prompt can't hold, a
child of that for each part of it. The last step of a document, and of the whole, is its own job's.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy.orm import Session

from db.jobs import Job
from tasks import errors, ids
from tasks.documents import ingest
from tasks.documents.ingest import NewDocument
from tasks.jobs import stages
from tasks.jobs.requests import Plan, Stored, Submission
from tasks.keys import Caller
from tasks.kinds.generation import Answer, Generation, Text, Turn
from tasks.kinds.kind import Answering, Composed, Measure
from tasks.kinds.sampling import Sampling
from tasks.models import catalog, choosing
from tasks.models.catalog import Catalog, Model
from tasks.summaries import choice, keeping, prompts
from tasks.summaries.manner import Manner
from tasks.summaries.prompts import Purpose

NAME = "summary"


@dataclass(frozen=True, slots=True)
class Summary:
    """Which documents are summarised, and how: `new` ones are brought, and are stored among `documents`, by their ids.

    `collection` takes those that are ready in it when the summary is asked for.
    """

    manner: Manner = field(default_factory=Manner)
    documents: tuple[uuid.UUID, ...] = ()
    collection: str | None = None
    new: tuple[NewDocument, ...] = ()
    combine: bool = False

    def to_json(self) -> Stored:
        given: dict[str, Any] = {"documents": [ids.show(id, ids.DOCUMENT) for id in self.documents]}
        if self.collection is not None:
            given["collection"] = self.collection
        return Stored(given, self.manner.to_json() | ({"combine": True} if self.combine else {}))


@dataclass(frozen=True, slots=True)
class OneDocument:
    """One document of a summary."""

    document: uuid.UUID
    manner: Manner

    def to_json(self) -> Stored:
        return Stored({"document": ids.show(self.document, ids.DOCUMENT)}, self.manner.to_json())


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a summary: what it is made from, and for what; `name` is the document's.

    `told` says that the model was trained to do as it is told.
    """

    purpose: Purpose
    manner: Manner
    texts: tuple[str, ...]
    name: str | None
    told: bool

    def asked(self, context: int) -> Generation:
        """What is put to a model of so many tokens' context: greedily, so that an equal step is answered alike."""
        put = prompts.put(self.manner, self.purpose, self.texts, self.name, context, self.told)
        return Generation(
            turns=(Turn("user", (Text(put.text),)),) if put.is_message else None,
            prompt=None if put.is_message else put.text,
            sampling=Sampling(temperature=0),
            stop=put.stop,
            max_tokens=put.max_tokens,
        )

    def kept(self, said: str, context: int, *, finished: bool) -> str:
        """What of the answer goes into the summary; empty where that is nothing."""
        return keeping.kept(said, self.manner, self.purpose, self.texts, context, finished=finished, told=self.told)

    def to_json(self) -> Stored:
        given: dict[str, Any] = {"texts": list(self.texts)} | ({"name": self.name} if self.name else {})
        how = {"subject": self.purpose.subject, "last": self.purpose.last, "told": self.told}
        return Stored(given, {**how, "manner": self.manner.to_json()})

    @classmethod
    def from_json(cls, stored: Stored) -> "Step":
        """What `to_json` gave."""
        params = stored.params
        purpose, manner = Purpose(params["subject"], params["last"]), Manner.from_json(params["manner"])
        return cls(purpose, manner, tuple(stored.input["texts"]), stored.input.get("name"), params["told"])


@dataclass(frozen=True, slots=True)
class PartStep:
    """The step over one part of a document, which is read from there when it runs: its job holds none of the text, so
    that who deletes the document has deleted it. `step` is what is asked, without texts."""

    document: uuid.UUID
    begins: int
    ends: int
    step: Step

    def over(self, text: str) -> Step:
        return replace(self.step, texts=(text,))

    def to_json(self) -> Stored:
        stored = self.step.to_json()
        part = {"document": ids.show(self.document, ids.DOCUMENT), "begins": self.begins, "ends": self.ends}
        return Stored({**stored.input, "part": part}, stored.params)


Asked = Summary | OneDocument | Step | PartStep


class SummaryKind(Answering[Asked]):
    name = NAME
    serves = "generate"

    def parse(self, stored: Stored) -> Asked:
        given, params = stored.input, stored.params
        if "documents" in given:
            shown = (ids.parse(document, ids.DOCUMENT) for document in given["documents"])
            documents = tuple(id for id in shown if id)
            combine = params.get("combine", False)
            return Summary(Manner.from_json(params), documents, given.get("collection"), combine=combine)
        if "document" in given:
            document = ids.parse(given["document"], ids.DOCUMENT)
            assert document is not None
            return OneDocument(document, Manner.from_json(params))
        if "part" in given:
            part = given["part"]
            document = ids.parse(part["document"], ids.DOCUMENT)
            assert document is not None
            return PartStep(document, part["begins"], part["ends"], Step.from_json(stored))
        return Step.from_json(stored)

    def plan(self, session: Session, models: Catalog, caller: Caller, asked: Submission[Asked]) -> Plan:
        """Writes down the documents that are brought. Raises `ModelUnknown`, and `InvalidField` for documents that
        aren't there or aren't ready, and for none."""
        request, model = asked.request, model_for(models, asked.model)
        if isinstance(request, OneDocument):
            return Plan(asked, stages.SUMMARIZE, model.name, model.name)
        if isinstance(request, Step | PartStep):
            return Plan(asked, stages.SUMMARIZE_PART, model.name, model.name)
        job_id = ids.new()
        documents = request.documents
        if request.collection is not None:
            documents = choice.of_collection(session, caller, request.collection)
        elif documents:
            choice.take(session, caller, documents, job_id)
        else:
            documents = ingest.add(session, caller.tenant_id, None, job_id, request.new)
        return _plan(replace(asked, request=replace(request, new=(), documents=documents)), model, job_id)

    def again(self, session: Session, models: Catalog, caller: Caller, asked: Submission[Asked], old: Job) -> Plan:
        """The documents of the old one, whose steps cost nothing where they were taken."""
        if not isinstance(asked.request, Summary):
            return self.plan(session, models, caller, asked)
        job_id = ids.new()
        ingest.take_over(session, caller.tenant_id, old.id, job_id)
        return _plan(asked, model_for(models, old.model), job_id)

    def compose(self, request: Asked, stage_input: Mapping[str, Any], context: int, measure: Measure) -> Composed:
        """A step's own prompt; of what holds no texts, that of the step which its stage has left."""
        del measure
        if not isinstance(request, Step):
            last = stage_input["step"]
            request = Step.from_json(Stored(last["input"], last["params"]))
        return Composed(request.asked(context))

    def result(self, answers: Sequence[Answer]) -> dict[str, Any]:
        return {"text": answers[0].text, "finish_reason": answers[0].finish_reason}


def model_for(models: Catalog, name: str | None) -> Model:
    """The model of that name, else the default for chats, or for texts. Raises `ModelUnknown`."""
    for type in ("chat", "generate"):
        try:
            return choosing.model_for(models, type, name)
        except errors.ModelUnknown:
            if type == "generate":
                raise
    raise AssertionError("one of the two was answered")


def _plan(asked: Submission[Asked], model: Model, job_id: uuid.UUID) -> Plan:
    return Plan(replace(asked, model=model.name), stages.SHARE_OUT, catalog.CONTROL, model.name, job_id)
