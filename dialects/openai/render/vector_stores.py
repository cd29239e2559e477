"""Vector stores, files in them and what is found there in OpenAI's words."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypedDict

from dialects.named import FILE, FILE_BATCH, VECTOR_STORE
from tasks.documents.ranking import PassageObject
from tasks.vectorstores.batches import FileBatch
from tasks.vectorstores.counting import Counts
from tasks.vectorstores.files import StoredFile
from tasks.vectorstores.stores import StoreView

FileStatus = Literal["in_progress", "completed", "cancelled", "failed"]


class FileCounts(TypedDict):
    in_progress: int
    completed: int
    failed: int
    cancelled: int
    total: int


class StoreExpiry(TypedDict):
    anchor: Literal["last_active_at"]
    days: int


class OpenAIVectorStore(TypedDict):
    """A vector store."""

    id: str
    object: Literal["vector_store"]
    created_at: int
    name: str
    description: str | None
    usage_bytes: Annotated[int, "Of its files that can be searched."]
    file_counts: FileCounts
    status: Literal["expired", "in_progress", "completed"]
    expires_after: StoreExpiry | None
    expires_at: int | None
    last_active_at: Annotated[int, "To the minute."]
    metadata: dict[str, str]


class OpenAIVectorStoreList(TypedDict):
    object: Literal["list"]
    data: list[OpenAIVectorStore]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedVectorStore(TypedDict):
    id: str
    object: Literal["vector_store.deleted"]
    deleted: bool


class LastError(TypedDict):
    code: Literal["server_error", "unsupported_file", "invalid_file"]
    message: str


class StaticSizes(TypedDict):
    max_chunk_size_tokens: int
    chunk_overlap_tokens: int


class StaticStrategy(TypedDict):
    type: Literal["static"]
    static: StaticSizes


class OpenAIVectorStoreFile(TypedDict):
    """A file in a vector store."""

    id: str
    object: Literal["vector_store.file"]
    created_at: int
    vector_store_id: str
    status: FileStatus
    last_error: LastError | None
    usage_bytes: Annotated[int, "The file's, once it is completed."]
    attributes: dict[str, Any]
    chunking_strategy: Annotated[StaticStrategy, "How it is cut."]


class OpenAIVectorStoreFileList(TypedDict):
    object: Literal["list"]
    data: list[OpenAIVectorStoreFile]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedVectorStoreFile(TypedDict):
    id: str
    object: Literal["vector_store.file.deleted"]
    deleted: bool


class FoundText(TypedDict):
    type: Literal["text"]
    text: str


class OpenAIFileContent(TypedDict):
    """What was understood of a file."""

    object: Literal["vector_store.file_content.page"]
    data: list[FoundText]
    has_more: bool
    next_page: str | None


class OpenAIFileBatch(TypedDict):
    """Files that were attached together."""

    id: str
    object: Literal["vector_store.files_batch"]
    created_at: int
    vector_store_id: str
    status: FileStatus
    file_counts: Annotated[FileCounts, "Of those that are in the store still."]


class FoundInStore(TypedDict):
    file_id: str
    filename: str
    score: Annotated[float, "How well it answers, by meaning and by words together; or as a reranker has it."]
    attributes: dict[str, Any]
    content: list[FoundText]


class OpenAISearchPage(TypedDict):
    """What was found, the best first."""

    object: Literal["vector_store.search_results.page"]
    search_query: list[str]
    data: list[FoundInStore]
    has_more: bool
    next_page: str | None


def store(found: StoreView) -> OpenAIVectorStore:
    days = found.expires_days
    return {
        "id": VECTOR_STORE.show(found.id),
        "object": "vector_store",
        "created_at": int(found.created_at.timestamp()),
        "name": found.name,
        "description": found.description,
        "usage_bytes": found.usage_bytes,
        "file_counts": _counts(found.counts),
        "status": found.status,
        "expires_after": None if days is None else {"anchor": "last_active_at", "days": days},
        "expires_at": int(found.expires_at.timestamp()) if found.expires_at else None,
        "last_active_at": int(found.last_active_at.timestamp()),
        "metadata": dict(found.metadata),
    }


def stores(found: Sequence[StoreView], more: bool) -> OpenAIVectorStoreList:
    data = [store(one) for one in found]
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": more}


def file(found: StoredFile) -> OpenAIVectorStoreFile:
    error: Any = {"code": found.error[0], "message": found.error[1]} if found.error else None
    return {
        "id": FILE.show(found.file_id),
        "object": "vector_store.file",
        "created_at": int(found.created_at.timestamp()),
        "vector_store_id": VECTOR_STORE.show(found.store_id),
        "status": found.status,  # type: ignore[typeddict-item]  # one of `files.STATUSES`
        "last_error": error,
        "usage_bytes": found.usage_bytes,
        "attributes": dict(found.attributes),
        "chunking_strategy": {
            "type": "static",
            "static": {"max_chunk_size_tokens": found.chunk_tokens, "chunk_overlap_tokens": found.chunk_overlap},
        },
    }


def files(found: Sequence[StoredFile], more: bool) -> OpenAIVectorStoreFileList:
    data = [file(one) for one in found]
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": more}


def content(text: str) -> OpenAIFileContent:
    return {
        "object": "vector_store.file_content.page",
        "data": [{"type": "text", "text": text}],
        "has_more": False,
        "next_page": None,
    }


def batch(found: FileBatch) -> OpenAIFileBatch:
    return {
        "id": FILE_BATCH.show(found.job_id),
        "object": "vector_store.files_batch",
        "created_at": int(found.created_at.timestamp()),
        "vector_store_id": VECTOR_STORE.show(found.store_id),
        "status": found.status,
        "file_counts": _counts(found.counts),
    }


def results(queries: Sequence[str], found: Sequence[PassageObject]) -> OpenAISearchPage:
    return {
        "object": "vector_store.search_results.page",
        "search_query": list(queries),
        "data": [_found(one) for one in found],
        "has_more": False,
        "next_page": None,
    }


def _found(passage: PassageObject) -> FoundInStore:
    return {
        "file_id": passage["external_id"] or "",
        "filename": passage["filename"] or "",
        "score": passage["score"],
        "attributes": passage["metadata"],
        "content": [{"type": "text", "text": passage["text"]}],
    }


def _counts(counts: Counts) -> FileCounts:
    return {
        "in_progress": counts.in_progress,
        "completed": counts.completed,
        "failed": counts.failed,
        "cancelled": counts.cancelled,
        "total": counts.total,
    }
