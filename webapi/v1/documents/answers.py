"""What clients are answered about documents and collections."""

from typing import Annotated, Any, Literal, TypedDict

from dialects.named import DOCUMENT, JOB
from tasks import times
from tasks.documents import library
from tasks.documents.library import KINDS, STATUSES
from tasks.jobs.view import JobError
from tasks.times import Moment


class DocumentLinks(TypedDict):
    self: str
    job: Annotated[str | None, "The job that ingests it, or summarises it; null before that is asked for."]


class DocumentArchive(TypedDict):
    name: Annotated[str, "Its external_id, else its file name."]
    digest: Annotated[str | None, "The SHA-256 of the archive, in hexadecimal."]


class Document(TypedDict):
    """One document."""

    id: str
    object: Literal["document"]
    collection: Annotated[str | None, "Null when it is kept for a summary only."]
    title: str | None
    filename: str | None
    external_id: str | None
    kind: Annotated[str, {"enum": KINDS}]
    charset: Annotated[str | None, "That it was read in, or is said to be in; null where its format has its own."]
    metadata: dict[str, Any]
    bytes: Annotated[int, "Of what came: the text or the file."]
    digest: Annotated[str | None, "The SHA-256 of what came, in hexadecimal."]
    archive: Annotated[DocumentArchive | None, "That it came in."]
    duplicate_of: Annotated[str | None, "An older document of the collection with the same contents."]
    status: Annotated[str, {"enum": STATUSES}, "`ready` ones are found."]
    chunks: int | None
    tokens: Annotated[int | None, "Of all its chunks."]
    warnings: Annotated[list[str], "Of what may be missing or wrong in its text, and how it is found."]
    error: JobError | None
    created_at: Moment
    links: DocumentLinks


def document(found: library.Document) -> Document:
    shown = DOCUMENT.show(found.id)
    return {
        "id": shown,
        "object": "document",
        "collection": found.collection,
        "title": found.title,
        "filename": found.filename,
        "external_id": found.external_id,
        "kind": found.kind,
        "charset": found.charset,
        "metadata": found.metadata,
        "bytes": found.bytes,
        "digest": found.digest,
        "archive": {"name": found.archive, "digest": found.archive_digest} if found.archive else None,
        "duplicate_of": DOCUMENT.show(found.duplicate_of) if found.duplicate_of else None,
        "status": found.status,
        "chunks": found.chunks,
        "tokens": found.tokens,
        "warnings": found.warnings,
        "error": found.error,
        "created_at": times.show(found.created_at),
        "links": {
            "self": f"/v1/documents/{shown}",
            "job": f"/v1/jobs/{JOB.show(found.job_id)}" if found.job_id else None,
        },
    }


class HeadingMark(TypedDict):
    at: Annotated[int, "Where it begins in the text, in characters."]
    level: Annotated[int, "1 is the highest."]
    title: str


class TableMark(TypedDict):
    begins: Annotated[int, "Where its rows begin, after the header."]
    ends: int
    header: Annotated[str, "As it is said again where the table is cut."]


class TextMarks(TypedDict):
    """Where what begins, in the whole text."""

    headings: list[HeadingMark]
    pages: Annotated[list[int], "None where there are no pages."]
    tables: list[TableMark]


class DocumentText(TypedDict):
    """What was understood of a document."""

    id: str
    object: Literal["document.text"]
    text: str
    begins: Annotated[int, "In the whole text, in characters."]
    ends: int
    characters: Annotated[int, "Of the whole text."]
    charset: str | None
    marks: Annotated[TextMarks, "That begin in this part of the text."]


def text(found: library.Text) -> DocumentText:
    marks = found.marks
    return {
        "id": DOCUMENT.show(found.document_id),
        "object": "document.text",
        "text": found.text,
        "begins": found.begins,
        "ends": found.begins + len(found.text),
        "characters": found.characters,
        "charset": found.charset,
        "marks": {
            "headings": [{"at": mark.at, "level": mark.level, "title": mark.title} for mark in marks.headings],
            "pages": list(marks.pages),
            "tables": [{"begins": mark.begins, "ends": mark.ends, "header": mark.header} for mark in marks.tables],
        },
    }


class DocumentChunk(TypedDict):
    """A piece of a document's text, as a search finds it."""

    number: Annotated[int, "In the document, from 0."]
    object: Literal["document.chunk"]
    text: str
    tokens: Annotated[int, "With what is embedded before it: title, headings, and a table's header."]
    begins: Annotated[int | None, "In the document's text, in characters."]
    ends: int | None
    page: Annotated[int | None, "That it begins on, from 1."]
    path: Annotated[list[str], "The headings that it is under, the highest first."]
    header: Annotated[str | None, "Of the table that it goes on with."]


def chunk(found: library.Chunk) -> DocumentChunk:
    return {
        "number": found.number,
        "object": "document.chunk",
        "text": found.text,
        "tokens": found.tokens,
        "begins": found.begins,
        "ends": found.ends,
        "page": found.page,
        "path": found.path,
        "header": found.header,
    }


class CollectionLinks(TypedDict):
    self: str
    documents: str


class Collection(TypedDict):
    """A named set of documents, all embedded by one model."""

    name: str
    object: Literal["collection"]
    model: str
    language: str
    chunk_tokens: Annotated[int, "What a chunk has at most."]
    chunk_overlap: Annotated[int, "What is said twice, about."]
    dimensions: Annotated[int | None, "Null before any vectors."]
    documents: int
    chunks: Annotated[int, "Of the documents that are ready."]
    created_at: Moment
    links: CollectionLinks


def collection(found: library.Collection) -> Collection:
    path = f"/v1/collections/{found.name}"
    return {
        "name": found.name,
        "object": "collection",
        "model": found.model,
        "language": found.language,
        "chunk_tokens": found.chunk_tokens,
        "chunk_overlap": found.chunk_overlap,
        "dimensions": found.dimensions,
        "documents": found.documents,
        "chunks": found.chunks,
        "created_at": times.show(found.created_at),
        "links": {"self": path, "documents": f"/v1/documents?collection={found.name}"},
    }
