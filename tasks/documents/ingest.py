"""Bringing documents into a collection. Every function takes a session, never commits, and opens the tenant's scope.

A document is `pending` until its ingest job made it `ready`, or found that it can't be (`failed`).
"""

import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func
from sqlalchemy.orm import Session

from db.documents import chunks, collections, documents, identities, reembedding
from db.documents.documents import DocumentText, Kind
from db.scope import scope
from tasks import errors, ids
from tasks.documents import chunking, ends, homes, tidying, wording
from tasks.documents.chunking import About, Piece
from tasks.documents.marks import Extracted, Marks

_USUAL_PART = 0.75  # of the tokens that a chunk may have, it has so many for the most part
MAX_CHARACTERS = 4_000_000  # of one document's text, whether it comes so or is found in a file


@dataclass(frozen=True, slots=True)
class Archive:
    """What a document came in: its name (`external_id`, else file name), its id before it was unpacked, its digest."""

    archive: str
    archive_id: uuid.UUID
    archive_digest: bytes | None


@dataclass(frozen=True, slots=True)
class NewDocument:
    """What a client brings: a text, or a file (`raw`) to be read; or a file that was in an `archive`.

    Its shape is checked already.
    """

    text: str | None
    raw: bytes | None
    kind: Kind
    title: str | None
    filename: str | None
    metadata: dict[str, Any]
    charset: str | None = None
    external_id: str | None = None
    replaces: bool = False
    archive: Archive | None = None

    @property
    def contents(self) -> bytes:
        return self.raw if self.raw is not None else (self.text or "").encode()

    @property
    def fingerprint(self) -> str:
        """Of all that it is, by which a request that is sent again is known."""
        said = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in ("text", "raw")}
        whole = json.dumps([hashlib.sha256(self.contents).hexdigest(), said], sort_keys=True, default=str)
        return hashlib.sha256(whole.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Pending:
    """A document that waits for its chunks; `bytes` is the size of what the client brought.

    `is_file`: its text is still to be extracted. `charset` is the one that it is said to be in. `file_id` is the kept
    file that it is made of.
    """

    id: uuid.UUID
    kind: Kind
    bytes: int
    is_file: bool
    charset: str | None
    file_id: uuid.UUID | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """`waiting`: documents still to ingest, in order of arrival. `done`, `total`: bytes finished, bytes of all."""

    waiting: list[Pending]
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Source:
    """A text to be cut into pieces of at most `tokens` tokens, which overlap by about `overlap`."""

    text: str
    about: About
    tokens: int
    overlap: int


def add(
    session: Session,
    tenant_id: uuid.UUID,
    collection_id: uuid.UUID | None,
    job_id: uuid.UUID | None,
    new: Sequence[NewDocument],
) -> tuple[uuid.UUID, ...]:
    """Writes documents down that wait for the job, or for one to come; their ids, in the same order."""
    document_ids = tuple(ids.new() for _ in new)
    with scope(session, tenant_id):
        for document_id, document in zip(document_ids, new, strict=True):
            write(session, tenant_id, collection_id, job_id, document_id, document)
    return document_ids


def write(
    session: Session,
    tenant_id: uuid.UUID,
    collection_id: uuid.UUID | None,
    job_id: uuid.UUID | None,
    document_id: uuid.UUID,
    new: NewDocument,
) -> None:
    """Writes a document down that waits, its text as texts of files are. Called within the tenant's scope."""
    contents = new.contents
    values = {
        "id": document_id,
        "tenant_id": tenant_id,
        "collection_id": collection_id,
        "job_id": job_id,
        "title": new.title,
        "labels": new.metadata,
        "kind": new.kind,
        "filename": new.filename,
        "charset": new.charset,
        "external_id": new.external_id,
        "replaces": new.replaces,
        **(asdict(new.archive) if new.archive else {}),
        "digest": hashlib.sha256(contents).digest(),
        "bytes": len(contents),
        "status": "pending",
    }
    documents.add(session, values, raw=new.raw, text=None if new.text is None else tidying.tidied(new.text).strip())


def take_over(
    session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID, new_job_id: uuid.UUID
) -> tuple[uuid.UUID, ...]:
    """Makes the documents that still wait for a job wait for another; their ids, as they came."""
    with scope(session, tenant_id):
        return tuple(documents.take_over(session, tenant_id, job_id, new_job_id))


def work(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID) -> Work:
    """What there is to do for the job, and what is done."""
    with scope(session, tenant_id):
        rows = documents.work(session, tenant_id, job_id)
    waiting = [
        Pending(id, kind, size, is_file, said, file_id)
        for id, kind, size, status, is_file, said, file_id in rows
        if status == "pending"
    ]
    total = sum(size for _, _, size, *_ in rows)
    return Work(waiting, total - sum(document.bytes for document in waiting), total)


def raw(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID) -> bytes | None:
    """The file; None when its text was found already, or the document is gone."""
    with scope(session, tenant_id):
        return documents.contents(session, tenant_id, document_id, DocumentText.raw)


def identified(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, contents: bytes) -> None:
    """Notes the digest of a kept file's bytes, which nobody had read before. Idempotent."""
    with scope(session, tenant_id):
        documents.set_status(session, tenant_id, document_id, digest=hashlib.sha256(contents).digest())


def text(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID) -> str | None:
    """The text; None when it wasn't found yet, or the document is gone."""
    with scope(session, tenant_id):
        return documents.contents(session, tenant_id, document_id, DocumentText.text)


def source(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID) -> Source | None:
    """The text and how it is to be cut; None when it wasn't found yet, or the document is gone."""
    with scope(session, tenant_id):
        row = documents.source(session, tenant_id, document_id)
    if row is None or row.text is None:
        return None
    tokens = row.chunk_tokens or chunking.TOKENS
    overlap = homes.overlap_of(row.chunk_overlap, tokens)
    marks = Marks.from_json(row.marks) if row.marks else Marks()
    called = row.title or (PurePath(row.filename).stem if row.filename else None)
    return Source(row.text, About(called, row.kind, marks), tokens, overlap)


def extracted(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, found: Extracted) -> None:
    """Keeps the text that was found, and drops the file; its own title is kept where it was given none.

    Idempotent; does nothing when the document is gone.
    """
    with scope(session, tenant_id):
        about = {
            "charset": found.charset,
            "warnings": list(found.warnings),
            "title": func.coalesce(documents.Document.title, found.title),
        }
        # The document before its text, as who deletes both.
        documents.set_status(session, tenant_id, document_id, **about)
        documents.set_text(session, tenant_id, document_id, found.text, found.marks.to_json())


def readied(session: Session, tenant_id: uuid.UUID, document_ids: Sequence[uuid.UUID]) -> None:
    """Makes documents ready whose texts are there and that are in no collection: so nothing of them is embedded."""
    with scope(session, tenant_id):
        for document_id in document_ids:
            documents.set_status(session, tenant_id, document_id, status="ready")


def marked(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, marks: Marks) -> None:
    """Keeps what shows in a text that came without marks. Idempotent; does nothing when the document is gone."""
    with scope(session, tenant_id):
        documents.set_marks(session, tenant_id, document_id, marks.to_json())


def failed(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, code: str, message: str) -> None:
    """Gives the document up, and drops what it held, and its older versions that failed.

    Idempotent; does nothing when it is ready or gone.
    """
    with scope(session, tenant_id):
        if not documents.give_up(session, tenant_id, document_id, code, message):
            return
        chunks.clear(session, tenant_id, document_id)
        reembedding.forget(session, tenant_id, document_id)
        documents.set_text(session, tenant_id, document_id, None)
    ends.forget_failed(session, tenant_id, [document_id])


def warn(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, sentence: str) -> None:
    """Tells who brought the document something about it. Idempotent; does nothing when the document is gone."""
    with scope(session, tenant_id):
        documents.warn(session, tenant_id, document_id, sentence)


def fix_dimensions(
    session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, dimensions: int, *, model: str
) -> None:
    """Lets the document's collection have vectors of so many dimensions, if it has none yet. Idempotent.

    Does nothing when the document is gone. Raises `CollectionSwitched` where another model than this makes its vectors,
    and `DimensionsDiffer`. Others that ingest into the collection for the first time wait for the end of the
    transaction: it should do nothing else.
    """
    with scope(session, tenant_id):
        home = homes.of_document(session, tenant_id, document_id, model)
        if home is None:
            return
        fixed = collections.fix_dimensions(session, tenant_id, home.id, dimensions)
        if fixed is not None and fixed != dimensions:
            raise errors.DimensionsDiffer(home.name, dimensions, fixed)


def resume(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, pieces: Sequence[Piece]) -> int:
    """How many of the document's pieces an earlier attempt has stored; drops what it cut otherwise than we do."""
    with scope(session, tenant_id):
        last = chunks.last(session, tenant_id, document_id)
        if last is None:
            return 0
        number, digest = last
        if number + 1 < len(pieces) and pieces[number].digest == digest:
            return number + 1
        documents.set_status(session, tenant_id, document_id, chunks=None, tokens=None)  # before its chunks, as above
        chunks.clear(session, tenant_id, document_id)
        reembedding.forget(session, tenant_id, document_id)
    return 0


def alike(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID) -> list[uuid.UUID]:
    """The documents that may have chunks which this one has too: versions of it, and those with its contents."""
    with scope(session, tenant_id):
        return identities.sources(session, tenant_id, document_id)


def vectors(
    session: Session,
    tenant_id: uuid.UUID,
    document_id: uuid.UUID,
    alike: Sequence[uuid.UUID],
    pieces: Sequence[Piece],
    *,
    model: str,
) -> dict[bytes, NDArray[np.float32]]:
    """The vectors by this model of those of the document's pieces that are chunks of one `alike`, by their digests.

    Raises `CollectionSwitched` where another model makes the collection's vectors.
    """
    with scope(session, tenant_id):
        home = homes.of_document(session, tenant_id, document_id, model)
        if home is None:
            return {}
        return identities.vectors(session, home, alike, [piece.digest for piece in pieces])


def store(
    session: Session,
    tenant_id: uuid.UUID,
    document_id: uuid.UUID,
    pieces: Sequence[Piece],
    vectors: NDArray[np.float32],
    *,
    model: str,
    first: int = 0,
    last: bool = True,
) -> bool:
    """Adds chunks, numbered from `first` on; the last ones make the document ready, and all can be found.

    At that moment its older versions are gone; it goes itself if a newer one is ready. `vectors` are (len(pieces), d),
    of length 1, and `fix_dimensions` has been asked about d. False when the document doesn't wait any more, or is gone.
    It can't be deleted before the transaction ends, so that should be soon. Raises `CollectionSwitched` where another
    model than this makes the collection's vectors.
    """
    status = "ready" if last else "pending"
    tokens = sum(piece.tokens for piece in pieces)
    with scope(session, tenant_id):
        home = homes.of_document(session, tenant_id, document_id, model)
        waiting = (tenant_id, document_id)
        if home is None or (last and not _prevails(session, *waiting)):
            return False
        grown = documents.grow(session, *waiting, chunks=len(pieces), tokens=tokens, status=status)
        if grown is None:
            return False
        vector_key = chunks.own_vector(home.second).key
        rows = [
            {
                "document_id": document_id,
                "number": number,
                "tenant_id": tenant_id,
                "collection_id": home.id,
                vector_key: vector,
                **_told(piece),
            }
            for number, (piece, vector) in enumerate(zip(pieces, vectors, strict=True), first)
        ]
        usual = _USUAL_PART * (grown.chunk_tokens or home.chunk_tokens or chunking.TOKENS)
        chunks.add(session, rows, config=wording.config(home.language), usual_tokens=usual)
    return True


def _told(piece: Piece) -> dict[str, Any]:
    """What a chunk's row has of its piece."""
    return {
        "text": piece.text,
        "tokens": piece.tokens,
        "begins": piece.begins,
        "ends": piece.ends,
        "page": piece.page,
        "path": list(piece.path),
        "header": piece.header,
        "digest": piece.digest,
        "indexed": wording.spaced(piece.embedded),
        "context": piece.context or None,
    }


def _prevails(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID) -> bool:
    """Whether the document waits and no newer version of it is ready. Deletes the older ones then, else itself."""
    document = identities.hold(session, tenant_id, document_id)
    if document is None:
        return False
    if identities.newer(session, document):
        documents.remove(session, tenant_id, document_id)
        return False
    identities.remove_older(session, document)
    return True
