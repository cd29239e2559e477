"""Documents: what tenants gave us to search. Each is cut into chunks, and is in a collection.

Each function is called within `scope.scope` of the tenant it names.
"""

import datetime as dt
import uuid
from collections.abc import Collection as Collected
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from sqlalchemy import (
    REAL,
    Boolean,
    CheckConstraint,
    ColumnElement,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Row,
    Select,
    Text,
    UniqueConstraint,
    and_,
    case,
    cast,
    delete,
    false,
    func,
    not_,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import InstrumentedAttribute, Mapped, Session, mapped_column

from db.documents.collections import Collection
from db.session import Table

Kind = Literal[
    "text", "markdown", "rst", "html", "pdf", "docx", "pptx", "xlsx", "csv", "tsv", "json", "jsonl", "epub", "eml",
    "zip", "tar",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)
STATUSES = ("pending", "ready", "failed")

Found = Row["Document", str | None]  # and its collection's name
T = TypeVar("T")
Counted = Row[Collection, int, int | None]


class Document(Table):
    """One text or file. `job_id` is the job that ingests it, no reference: either may outlive the other.

    While it is pending, `chunks` and `tokens` count what is stored of it so far. Without a collection it is kept for a
    summary only, and has no job before that is asked for. `digest` is the SHA-256 of what the client brought. `charset`
    is the one that it is said to be in, and, once its text is known, the one that it was read in. `unread` is the share
    of its text, 0 to 1, that the collection's model can't read; None when that isn't known. What came in an archive has
    that one's name (its `external_id`, else its file name), its digest, and the id that it had. What is made of a kept
    file has its id, and goes when it goes. `chunk_tokens` and `chunk_overlap` say how it is cut, where that isn't as
    its collection says.
    """

    __tablename__ = "documents"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID]
    collection_id: Mapped[uuid.UUID | None]
    job_id: Mapped[uuid.UUID | None]
    title: Mapped[str | None] = mapped_column(Text)
    labels: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, server_default=text("'{}'"))
    kind: Mapped[Kind] = mapped_column(Text)
    filename: Mapped[str | None] = mapped_column(Text)
    external_id: Mapped[str | None] = mapped_column(Text)
    replaces: Mapped[bool] = mapped_column(Boolean, server_default=false())
    digest: Mapped[bytes | None] = mapped_column(LargeBinary)
    archive: Mapped[str | None] = mapped_column(Text)
    archive_id: Mapped[uuid.UUID | None]
    archive_digest: Mapped[bytes | None] = mapped_column(LargeBinary)
    charset: Mapped[str | None] = mapped_column(Text)
    warnings: Mapped[list[str]] = mapped_column(JSONB, server_default=text("'[]'"))
    unread: Mapped[float | None] = mapped_column(REAL)
    bytes: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(Text)
    error_code: Mapped[str | None] = mapped_column(Text)
    error_message: Mapped[str | None] = mapped_column(Text)
    chunks: Mapped[int | None] = mapped_column(Integer)
    tokens: Mapped[int | None] = mapped_column(Integer)
    file_id: Mapped[uuid.UUID | None] = mapped_column()
    chunk_tokens: Mapped[int | None] = mapped_column(Integer)
    chunk_overlap: Mapped[int | None] = mapped_column(Integer)
    created_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())

    # References carry the tenant: no row can hang on another tenant's, nor tell by an error whether that exists.
    __table_args__ = (
        ForeignKeyConstraint(
            ["collection_id", "tenant_id"], ["collections.id", "collections.tenant_id"], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(
            ["file_id", "tenant_id"], ["files.id", "files.tenant_id"], name="documents_of_kept_file", ondelete="CASCADE"
        ),
        UniqueConstraint("id", "tenant_id", name="documents_and_tenant"),
        CheckConstraint("status IN ('pending', 'ready', 'failed')", name="documents_status"),
        Index("documents_of_tenant", "tenant_id", "id"),
        Index("documents_of_collection", "collection_id", "id"),
        Index("documents_of_job", "job_id"),
        Index("documents_of_contents", "collection_id", "digest", "id"),
        Index(
            "documents_of_external_id",
            "collection_id",
            "external_id",
            postgresql_where=external_id.is_not(None),
        ),
        Index("documents_of_filename", "collection_id", "filename", postgresql_where=filename.is_not(None)),
        Index("documents_of_file", "file_id", "collection_id", unique=True, postgresql_where=file_id.is_not(None)),
        Index(  # `attached.counted`, from the index alone
            "documents_of_files",
            "collection_id",
            "status",
            postgresql_where=file_id.is_not(None),
            postgresql_include=["tenant_id", "job_id", "error_code", "bytes"],
        ),
        Index("documents_of_archive", "collection_id", "archive", postgresql_where=archive.is_not(None)),
        Index(
            "documents_in_part",
            "collection_id",
            postgresql_where=and_(status == "pending", chunks.is_not(None)),
        ),
    )


class DocumentText(Table):
    """A document's contents: the file as it came until its text is known, then the text and the marks in it."""

    __tablename__ = "document_texts"

    document_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID]
    raw: Mapped[bytes | None] = mapped_column(LargeBinary)
    text: Mapped[str | None] = mapped_column(Text)
    marks: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))

    __table_args__ = (
        ForeignKeyConstraint(["document_id", "tenant_id"], ["documents.id", "documents.tenant_id"], ondelete="CASCADE"),
    )


def add(session: Session, values: Mapping[str, Any], *, raw: bytes | None, text: str | None) -> None:
    """Inserts a document, its columns given by name, and its contents."""
    session.execute(insert(Document).values(**values))
    contents = {"document_id": values["id"], "tenant_id": values["tenant_id"], "raw": raw, "text": text}
    session.execute(insert(DocumentText).values(**contents))


def find(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID) -> Found | None:
    """The tenant's document and its collection's name."""
    return session.execute(_named(tenant_id).where(Document.id == document_id)).one_or_none()


@dataclass(frozen=True, slots=True)
class Are:
    """The condition that documents are pending, ready or failed, where those that wait for an ended job have failed."""

    status: str
    ended: Collected[uuid.UUID] = ()

    def holds(self) -> ColumnElement[bool]:
        left = and_(Document.status == "pending", Document.job_id.in_(self.ended))
        if self.status == "failed":
            return or_(Document.status == "failed", left)
        return and_(Document.status == self.status, not_(func.coalesce(left, false())))


def page(
    session: Session,
    tenant_id: uuid.UUID,
    wanted: Mapping[str, Any],
    *,
    are: Are | None,
    before: uuid.UUID | None,
    limit: int,
) -> Sequence[Found]:
    """The tenant's documents whose columns have the values that are `wanted`, newest first, at most `limit`, older than
    `before`."""
    query = _named(tenant_id).where(*(getattr(Document, name) == value for name, value in wanted.items()))
    if are is not None:
        query = query.where(are.holds())
    if before is not None:
        query = query.where(Document.id < before)
    return session.execute(query.order_by(Document.id.desc()).limit(limit)).all()


def counted(
    session: Session, tenant_id: uuid.UUID, *, name: str | None = None, after: str = "", limit: int = 1
) -> Sequence[Counted]:
    """The tenant's collections by name with documents and ready chunks counted: one, or those that follow `after`."""
    ready = func.sum(Document.chunks).filter(Document.status == "ready")
    counts = (func.count(Document.id), func.coalesce(ready, 0))
    which = Collection.name == name if name is not None else Collection.name > after
    query = select(Collection, *counts).outerjoin(Document, Document.collection_id == Collection.id)
    query = query.where(Collection.tenant_id == tenant_id, which).group_by(Collection.id)
    return session.execute(query.order_by(Collection.name).limit(limit)).all()


def of_job(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID) -> Sequence[Found]:
    """The documents of an ingest job, in the order in which they came."""
    return session.execute(_named(tenant_id).where(Document.job_id == job_id).order_by(Document.id)).all()


def work(
    session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID
) -> Sequence[Row[uuid.UUID, Kind, int, str, bool, str | None, uuid.UUID | None]]:
    """Id, kind, size, status, whether it is a file still, the charset, and the kept file that it is made of, of the
    job's documents, as they came."""
    is_kept = and_(Document.file_id.is_not(None), DocumentText.text.is_(None))
    is_file = or_(DocumentText.raw.is_not(None), is_kept)
    query = select(
        Document.id, Document.kind, Document.bytes, Document.status, is_file, Document.charset, Document.file_id
    )
    query = query.join(DocumentText, DocumentText.document_id == Document.id)
    query = query.where(Document.tenant_id == tenant_id, Document.job_id == job_id)
    return session.execute(query.order_by(Document.id)).all()


def take_over(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID, new_job_id: uuid.UUID) -> list[uuid.UUID]:
    """Makes documents that wait for a job wait for another; their ids, as they came."""
    where = (Document.tenant_id == tenant_id, Document.job_id == job_id, Document.status == "pending")
    statement = update(Document).where(*where).values(job_id=new_job_id).returning(Document.id)
    return sorted(session.scalars(statement, execution_options={"synchronize_session": False}))


def home(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID) -> Collection | None:
    """The document's collection, which is neither deleted nor given another model before the transaction ends."""
    query = select(Collection).join(Document, Document.collection_id == Collection.id)
    query = query.where(Document.tenant_id == tenant_id, Document.id == document_id)
    query = query.with_for_update(read=True, key_share=True, of=Collection)
    return session.scalars(query, execution_options={"populate_existing": True}).one_or_none()


def contents(
    session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, what: InstrumentedAttribute[T]
) -> T | None:
    """The file or the text of a document; None when it is gone."""
    where = (DocumentText.tenant_id == tenant_id, DocumentText.document_id == document_id)
    return session.scalar(select(what).where(*where))


def source(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID) -> Row[Any] | None:
    """What a document in a collection is cut by: its text, marks, title, file name and kind, and its own `chunk_tokens`
    and `chunk_overlap`, else the collection's. None when it is gone."""
    its_own = Document.chunk_tokens.is_not(None)
    query = select(
        DocumentText.text,
        DocumentText.marks,
        Document.title,
        Document.filename,
        Document.kind,
        case((its_own, Document.chunk_tokens), else_=Collection.chunk_tokens).label("chunk_tokens"),
        case((its_own, Document.chunk_overlap), else_=Collection.chunk_overlap).label("chunk_overlap"),
    )
    query = query.join(DocumentText, DocumentText.document_id == Document.id)
    query = query.join(Collection, Collection.id == Document.collection_id)
    return session.execute(query.where(Document.tenant_id == tenant_id, Document.id == document_id)).one_or_none()


def part(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, begins: int, limit: int) -> Row[Any] | None:
    """So many characters of a document's text, how many it has, and its marks; None when there is no text."""
    own = (DocumentText.tenant_id == tenant_id, DocumentText.document_id == document_id)
    query = select(
        func.substr(DocumentText.text, begins + 1, limit).label("part"),
        func.length(DocumentText.text).label("characters"),
        DocumentText.marks,
    )
    return session.execute(query.where(*own, DocumentText.text.is_not(None))).one_or_none()


def waited_for(session: Session, tenant_id: uuid.UUID) -> Sequence[uuid.UUID]:
    """The jobs that documents wait for."""
    waiting = (Document.tenant_id == tenant_id, Document.status == "pending")
    return [id for id in session.scalars(select(Document.job_id).where(*waiting).distinct()) if id is not None]


def grow(
    session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, *, chunks: int, tokens: int, status: str
) -> Row[uuid.UUID | None, int | None] | None:
    """Counts what is added to a document that waits, and keeps it from being deleted until the transaction ends.

    The collection it is in, and its own `chunk_tokens`; None when it doesn't wait, or is gone.
    """
    where = (Document.tenant_id == tenant_id, Document.id == document_id, Document.status == "pending")
    counts = {
        "chunks": func.coalesce(Document.chunks, 0) + chunks,
        "tokens": func.coalesce(Document.tokens, 0) + tokens,
    }
    grown = update(Document).where(*where).values(**counts, status=status)
    statement = grown.returning(Document.collection_id, Document.chunk_tokens)
    return session.execute(statement, execution_options={"synchronize_session": False}).one_or_none()


def widest(session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID) -> int | None:
    """The most tokens that one of the collection's documents wants for a chunk, where any says so itself."""
    own = (Document.tenant_id == tenant_id, Document.collection_id == collection_id)
    return session.scalar(select(func.max(Document.chunk_tokens)).where(*own))


def set_text(
    session: Session,
    tenant_id: uuid.UUID,
    document_id: uuid.UUID,
    text: str | None,
    marks: Mapping[str, Any] | None = None,
) -> None:
    """Keeps the text and its marks, and drops the file it was in."""
    where = (DocumentText.tenant_id == tenant_id, DocumentText.document_id == document_id)
    statement = update(DocumentText).where(*where).values(raw=None, text=text, marks=marks)
    session.execute(statement, execution_options={"synchronize_session": False})


def set_marks(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, marks: Mapping[str, Any]) -> None:
    """Keeps the marks of a text that is known already."""
    where = (DocumentText.tenant_id == tenant_id, DocumentText.document_id == document_id)
    statement = update(DocumentText).where(*where).values(marks=marks)
    session.execute(statement, execution_options={"synchronize_session": False})


def give_up(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, code: str, message: str) -> bool:
    """Marks a document that waits as failed. False when it doesn't wait."""
    where = (Document.tenant_id == tenant_id, Document.id == document_id, Document.status == "pending")
    values = {"status": "failed", "chunks": None, "tokens": None, "error_code": code, "error_message": message}
    statement = update(Document).where(*where).values(**values).returning(Document.id)
    return session.scalar(statement, execution_options={"synchronize_session": False}) is not None


def warn(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, sentence: str) -> None:
    """Adds a warning, unless the document has it."""
    where = (Document.tenant_id == tenant_id, Document.id == document_id, not_(Document.warnings.contains([sentence])))
    statement = update(Document).where(*where).values(warnings=Document.warnings.concat(cast([sentence], JSONB)))
    session.execute(statement, execution_options={"synchronize_session": False})


def set_status(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, **values: Any) -> None:
    where = (Document.tenant_id == tenant_id, Document.id == document_id)
    session.execute(update(Document).where(*where).values(**values), execution_options={"synchronize_session": False})


def remove(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID) -> bool:
    """Deletes the document with its chunks. False when there is none."""
    statement = delete(Document).where(Document.tenant_id == tenant_id, Document.id == document_id)
    return session.scalar(statement.returning(Document.id)) is not None


def _named(tenant_id: uuid.UUID) -> Select[Document, str | None]:
    query = select(Document, Collection.name).outerjoin(Collection, Collection.id == Document.collection_id)
    query = query.where(Document.tenant_id == tenant_id)
    return query.execution_options(populate_existing=True)
