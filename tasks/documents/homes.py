"""Collections as documents find or make them, and what is decided for each when it is made."""

import uuid
from dataclasses import dataclass

from sqlalchemy.orm import Session

from db.documents import collections, documents
from db.documents.collections import Collection
from db.scope import scope
from tasks import errors, ids
from tasks.documents import chunking, wording
from tasks.models import choosing
from tasks.models.catalog import Catalog, Model

LEAST_TOKENS = 64
LANGUAGE = "english"  # of a collection that names none


@dataclass(frozen=True, slots=True)
class Shape:
    """What a client says of a new collection; None takes what is usual."""

    model: str | None = None
    language: str | None = None
    chunk_tokens: int | None = None
    chunk_overlap: int | None = None


def home(session: Session, models: Catalog, tenant_id: uuid.UUID, name: str, shape: Shape) -> tuple[uuid.UUID, Model]:
    """The collection, kept until the transaction ends, and its model; it is made when there is none of this name.

    Its model is the shape's, else the catalogue's default for embeddings. Raises `ModelUnknown`, and `InvalidField`
    when the shape can't be, or the collection has another.
    """
    with scope(session, tenant_id):
        found = collections.find(session, tenant_id, name, keep=True)
        if found is None:
            embedder = choosing.model_for(models, "embed", shape.model)
            _check(shape, embedder)
            _add(session, tenant_id, name, shape, embedder)
            found = collections.find(session, tenant_id, name, keep=True)
    if found is None:
        raise errors.Unavailable(f"the collection {name} was deleted at this moment; try again")
    _compare(shape, found)
    return found.id, choosing.model_for(models, "embed", found.model)


def there(session: Session, models: Catalog, tenant_id: uuid.UUID, name: str) -> tuple[uuid.UUID, Model]:
    """The collection, kept until the transaction ends, and its model. Raises `NotFound`, `ModelUnknown`."""
    with scope(session, tenant_id):
        found = collections.find(session, tenant_id, name, keep=True)
    if found is None:
        raise errors.NotFound(f"no collection {name}")
    return found.id, choosing.model_for(models, "embed", found.model)


def made(session: Session, models: Catalog, tenant_id: uuid.UUID, name: str, id: uuid.UUID) -> Model:
    """A new collection with this id, as collections are that name nothing; its model. Raises `ModelUnknown`."""
    embedder = choosing.model_for(models, "embed", None)
    with scope(session, tenant_id):
        collections.add(session, id=id, tenant_id=tenant_id, name=name, model=embedder.name)
    return embedder


def of_document(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, model: str) -> Collection | None:
    """The document's collection, which has its vectors from this model until the transaction ends; None when either is
    gone. Called within the tenant's scope. Raises `CollectionSwitched`."""
    found = documents.home(session, tenant_id, document_id)
    if found is not None and found.model != model:
        raise errors.CollectionSwitched(found.name, found.model)
    return found


def overlap_of(overlap: int | None, tokens: int) -> int:
    """The tokens that chunks of at most so many have in common, as a collection says or as is usual."""
    return min(chunking.OVERLAP, tokens // 4) if overlap is None else overlap


def _add(session: Session, tenant_id: uuid.UUID, name: str, shape: Shape, embedder: Model) -> None:
    collections.add(
        session,
        id=ids.new(),
        tenant_id=tenant_id,
        name=name,
        model=embedder.name,
        language=shape.language,
        chunk_tokens=shape.chunk_tokens,
        chunk_overlap=shape.chunk_overlap,
    )


def _check(shape: Shape, embedder: Model) -> None:
    """Raises `InvalidField` for chunks that the model can't take, or that overlap by more than a half."""
    tokens, overlap = shape.chunk_tokens, shape.chunk_overlap
    if tokens is not None and not LEAST_TOKENS <= tokens <= embedder.context:
        raise errors.InvalidField(
            "chunk_tokens", f"must be {LEAST_TOKENS} to {embedder.context}, as {embedder.name} reads"
        )
    if overlap is not None and overlap > (tokens or chunking.TOKENS) // 2:
        raise errors.InvalidField("chunk_overlap", f"must be half of the {tokens or chunking.TOKENS} tokens at most")


def _compare(shape: Shape, found: Collection) -> None:
    """Raises `InvalidField` for the first thing that the shape names otherwise than the collection has it."""
    tokens = found.chunk_tokens or chunking.TOKENS
    overlap = overlap_of(found.chunk_overlap, tokens)
    for field, wanted, has in (
        ("model", shape.model, found.model),
        ("language", shape.language, found.language or LANGUAGE),
        ("chunk_tokens", shape.chunk_tokens, tokens),
        ("chunk_overlap", shape.chunk_overlap, overlap),
    ):
        alike = field == "language" and wording.code(str(wanted)) == wording.code(str(has))
        if wanted is not None and wanted != has and not alike:
            raise errors.InvalidField(field, f"the collection {found.name} has {has}")
