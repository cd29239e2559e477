"""`ingest`: documents brought into a collection: their text found, cut, embedded and stored."""

import uuid
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from db.jobs import Job
from tasks import errors, ids
from tasks.documents import attaching, homes, ingest
from tasks.documents.attaching import Attached
from tasks.documents.homes import Shape
from tasks.documents.ingest import NewDocument
from tasks.jobs import stages
from tasks.jobs.requests import Plan, Stored, Submission
from tasks.keys import Caller
from tasks.kinds.kind import Kind
from tasks.models import catalog, choosing
from tasks.models.catalog import Catalog, Model
from tasks.vectorstores import stores


@dataclass(frozen=True, slots=True)
class Ingest:
    """Which documents go into which collection: `new` ones are brought, kept `files` are attached, and both are stored
    as `documents`, by their ids.

    `language`, `chunk_tokens` and `chunk_overlap` are a new collection's.
    """

    collection: str
    new: tuple[NewDocument, ...] = ()
    files: tuple[Attached, ...] = ()
    documents: tuple[uuid.UUID, ...] = ()
    language: str | None = None
    chunk_tokens: int | None = None
    chunk_overlap: int | None = None

    def to_json(self) -> Stored:
        documents = [ids.show(id, ids.DOCUMENT) for id in self.documents]
        return Stored({"collection": self.collection, "documents": documents}, {})


class IngestKind(Kind[Ingest]):
    name = "ingest"
    serves = "embed"

    def parse(self, stored: Stored) -> Ingest:
        shown = (ids.parse(document, ids.DOCUMENT) for document in stored.input["documents"])
        return Ingest(stored.input["collection"], documents=tuple(id for id in shown if id))

    def plan(self, session: Session, models: Catalog, caller: Caller, asked: Submission[Ingest]) -> Plan:
        """Writes the documents down too, and makes the collection when there is none.

        Raises `ModelUnknown`, and `InvalidField` when the collection has another model, language or size of chunks than
        is named.
        """
        request, job_id = asked.request, ids.new()
        if request.files:
            return self._of_files(session, models, caller, asked, job_id)
        if stores.is_of_store(request.collection):
            raise errors.InvalidField("collection", f"{request.collection} is a vector store: attach files to that")
        shape = Shape(asked.model, request.language, request.chunk_tokens, request.chunk_overlap)
        home, embedder = homes.home(session, models, caller.tenant_id, request.collection, shape)
        documents = ingest.add(session, caller.tenant_id, home, job_id, request.new)
        extracts = any(document.text is None for document in request.new)
        return _plan(asked, embedder, job_id, documents, extracts=extracts)

    def _of_files(
        self, session: Session, models: Catalog, caller: Caller, asked: Submission[Ingest], job_id: uuid.UUID
    ) -> Plan:
        """Kept files become documents of a collection that must be there. Raises `NotFound`, `InvalidField`."""
        home, embedder = homes.there(session, models, caller.tenant_id, asked.request.collection)
        what = (caller.tenant_id, home, job_id, asked.request.files)
        documents = attaching.attach(session, *what, context=embedder.context)
        return _plan(asked, embedder, job_id, documents, extracts=True)

    def again(self, session: Session, models: Catalog, caller: Caller, asked: Submission[Ingest], old: Job) -> Plan:
        """Takes over the documents that the old job left waiting: those that are ready stay so, and those that failed
        keep nothing that could be tried again. `Conflict` when none is left."""
        model, job_id = choosing.model_for(models, self.serves, old.model), ids.new()
        documents = ingest.take_over(session, caller.tenant_id, old.id, job_id)
        if not documents:
            raise errors.Conflict(f"{ids.show(old.id)} left no document waiting")
        return _plan(asked, model, job_id, documents, extracts=old.stage == stages.EXTRACT)


def _plan(
    asked: Submission[Ingest], embedder: Model, job_id: uuid.UUID, documents: tuple[uuid.UUID, ...], *, extracts: bool
) -> Plan:
    """Texts go straight to the embedding model; files first to the control worker, which finds the text in them."""
    stage, queue = (stages.EXTRACT, catalog.CONTROL) if extracts else (stages.EMBED_DOCUMENTS, embedder.name)
    stored = replace(asked.request, new=(), files=(), documents=documents)
    return Plan(replace(asked, request=stored), stage, queue, embedder.name, job_id)
