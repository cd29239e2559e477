"""`/v1/vector_stores`, read."""

from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from dialects.documents import Filter, Queries, facts
from dialects.fields import STORABLE, Flag, Given, Labels, Real, Some, Strict, Whole, characters, within
from dialects.named import FILE, VECTOR_STORE
from tasks import errors
from tasks.documents.attaching import Attached
from tasks.vectorstores.batches import MAX_FILES
from tasks.vectorstores.files import STATUSES
from tasks.vectorstores.stores import Page, Wish

MAX_FIRST_FILES = 500  # of a new store
MAX_RESULTS, RESULTS = 50, 10
_LEAST_TOKENS, _MOST_TOKENS = 100, 4096
_LONGEST_NAME, _LONGEST_DESCRIPTION = 256, 512
# OpenAI's own, which here are how a search is ranked anyway; another is the name of a model that reranks.
RANKERS = ("auto", "none", "default-2024-11-15")


class PageQuery(Strict):
    limit = fields.Integer(load_default=20, validate=within(0, 100))
    order = fields.String(load_default="desc", validate=validate.OneOf(("asc", "desc")))


class StoresQuery(PageQuery):
    after = VECTOR_STORE.field("The last `id` of the page before.")
    before = VECTOR_STORE.field("The first `id` of the page behind.")


class FilesQuery(PageQuery):
    after = FILE.field("The last `id` of the page before.")
    before = FILE.field("The first `id` of the page behind.")
    filter = fields.String(validate=validate.OneOf(STATUSES), metadata={"description": "Only files of this status."})


class StoreExpiresAfter(Given):
    anchor = fields.String(required=True, validate=validate.OneOf(("last_active_at",)))
    days = Whole(required=True, validate=within(1, 365))


class StaticChunking(Given):
    max_chunk_size_tokens = Whole(
        required=True,
        validate=within(_LEAST_TOKENS, _MOST_TOKENS),
        metadata={"description": "In the embedding model's own tokens, and no more of them than it reads."},
    )
    chunk_overlap_tokens = Whole(
        required=True, validate=within(0, _MOST_TOKENS // 2), metadata={"description": "Half of that at most."}
    )

    @ma.validates_schema
    def _half_at_most(self, data: dict[str, Any], **_: Any) -> None:
        if data["chunk_overlap_tokens"] > data["max_chunk_size_tokens"] // 2:
            raise ma.ValidationError("must be half of max_chunk_size_tokens at most", "chunk_overlap_tokens")


class ChunkingStrategy(Given):
    type = fields.String(required=True, validate=validate.OneOf(("auto", "static")))
    static = fields.Nested(StaticChunking, allow_none=True)

    @ma.validates_schema
    def _fits(self, data: dict[str, Any], **_: Any) -> None:
        if data["type"] == "static" and not data.get("static"):
            raise ma.ValidationError("is missing: such a strategy has it", "static")
        if data["type"] == "auto" and data.get("static"):
            raise ma.ValidationError("an auto strategy has none", "static")


def _attributes() -> Any:
    return facts("Up to 16 pairs: strings, numbers and booleans, by which a search can filter.")


def _chunking() -> fields.Nested:
    return fields.Nested(
        ChunkingStrategy, allow_none=True, metadata={"description": "`auto` is 128 tokens, 16 of them overlapping."}
    )


def _metadata() -> Labels:
    told = {"description": "Up to 16 pairs.", "additionalProperties": {"type": "string"}}
    return Labels(allow_none=True, metadata=told)


class VectorStoreRequest(Given):
    """A vector store, and the files that it begins with."""

    name = fields.String(allow_none=True, validate=characters(0, _LONGEST_NAME), metadata=STORABLE)
    description = fields.String(allow_none=True, validate=characters(0, _LONGEST_DESCRIPTION), metadata=STORABLE)
    file_ids = fields.List(FILE.field("A file's id."), allow_none=True, validate=validate.Length(max=MAX_FIRST_FILES))
    chunking_strategy = _chunking()
    expires_after = fields.Nested(StoreExpiresAfter, allow_none=True)
    metadata = _metadata()

    @ma.validates_schema
    def _once_each(self, data: dict[str, Any], **_: Any) -> None:
        _refuse_twins(data.get("file_ids") or (), "file_ids")


class VectorStoreChange(Strict):
    """What is to be changed; null takes back that it expires, or all metadata."""

    name = fields.String(allow_none=True, validate=characters(0, _LONGEST_NAME), metadata=STORABLE)
    expires_after = fields.Nested(StoreExpiresAfter, allow_none=True)
    metadata = _metadata()


class VectorStoreFileRequest(Given):
    """A file to be attached."""

    file_id = FILE.field("The file.", required=True)
    attributes = _attributes()
    chunking_strategy = _chunking()


class FileBatchRequest(Given):
    """Files to be attached together: `file_ids`, for all of which the rest holds, or `files`, each with its own."""

    file_ids = Some(FILE.field("A file's id."), MAX_FILES, allow_none=True)
    files = Some(VectorStoreFileRequest, MAX_FILES, allow_none=True)
    attributes = _attributes()
    chunking_strategy = _chunking()

    @ma.validates_schema
    def _one_of_both(self, data: dict[str, Any], **_: Any) -> None:
        given, several = data.get("file_ids"), data.get("files")
        if not given and not several:
            raise ma.ValidationError("is missing: give file_ids, or files", "file_ids")
        if given and several:
            raise ma.ValidationError("give file_ids or files, not both", "files")
        _refuse_twins(given or [one["file_id"] for one in several or ()], "file_ids" if given else "files")


class VectorStoreFileAttributes(Strict):
    attributes = facts("All of them; those that it had are gone.")

    @ma.validates_schema
    def _there(self, data: dict[str, Any], **_: Any) -> None:
        if "attributes" not in data:
            raise ma.ValidationError("Missing data for required field.", "attributes")


class HybridSearch(Given):
    embedding_weight = Real(required=True, validate=within(0, 1000))
    text_weight = Real(required=True, validate=within(0, 1000))

    @ma.validates_schema
    def _weighs(self, data: dict[str, Any], **_: Any) -> None:
        if data["embedding_weight"] + data["text_weight"] == 0:
            raise ma.ValidationError("one of both must weigh something", "embedding_weight")


class RankingOptions(Given):
    ranker = fields.String(
        allow_none=True,
        validate=characters(1, 200),
        metadata={"description": f"{', '.join(f'`{one}`' for one in RANKERS)}: by meaning and words; or a reranker."},
    )
    score_threshold = Real(
        allow_none=True, validate=within(0, 1), metadata={"description": "Only what has this `score` or more."}
    )
    hybrid_search = fields.Nested(
        HybridSearch, allow_none=True, metadata={"description": "How much meaning and words weigh against each other."}
    )


def filter_field() -> Filter:
    """What files must have: only their attributes can be named."""
    return Filter("Only files for whose attributes this holds.", named=(), allow_none=True)


class VectorStoreSearch(Given):
    """What is looked for in a store."""

    query = Queries(required=True)
    max_num_results = Whole(allow_none=True, validate=within(1, MAX_RESULTS))
    filters = filter_field()
    ranking_options = fields.Nested(RankingOptions, allow_none=True)
    rewrite_query = Flag(
        allow_none=True,
        metadata={"description": "Whether a model that chats puts it in other words: `search_query` says in which."},
    )


def page(query: Mapping[str, Any]) -> Page:
    return Page(query["limit"], query.get("after"), query.get("before"), query["order"] == "desc")


def wish(given: Mapping[str, Any]) -> Wish:
    expires = given.get("expires_after")
    return Wish(
        given.get("name", ""), given.get("description"), given.get("metadata"), expires["days"] if expires else None
    )


def changes(given: Mapping[str, Any]) -> dict[str, Any]:
    """What `stores.change` takes."""
    made: dict[str, Any] = {}
    if given.get("name") is not None:
        made["name"] = given["name"]
    if "expires_after" in given:
        expires = given["expires_after"]
        made["expires_days"] = expires["days"] if expires else None
    if "metadata" in given:
        made["metadata"] = given["metadata"] or {}
    return made


def attached(given: Mapping[str, Any]) -> Attached:
    """One file, and how it is to be attached."""
    static = given.get("chunking_strategy", {}).get("static")
    tokens, overlap = (static["max_chunk_size_tokens"], static["chunk_overlap_tokens"]) if static else (None, None)
    return Attached(given["file_id"], given.get("attributes"), tokens, overlap)


def several(given: Mapping[str, Any]) -> tuple[Attached, ...]:
    """The files of a batch, or of a new store."""
    if "files" in given:
        return tuple(attached(one) for one in given["files"])
    shared = {name: given[name] for name in ("attributes", "chunking_strategy") if name in given}
    return tuple(attached(shared | {"file_id": file_id}) for file_id in given.get("file_ids", ()))


def words_weight(options: Mapping[str, Any]) -> float | None:
    """The words' part of the score, 0 to 1; None for the usual one."""
    hybrid = options.get("hybrid_search")
    if not hybrid:
        return None
    return float(hybrid["text_weight"] / (hybrid["text_weight"] + hybrid["embedding_weight"]))


def ranker(options: Mapping[str, Any]) -> str | None:
    """The model that is to rerank; None for none."""
    named = options.get("ranker", "auto")
    return None if named in RANKERS else str(named)


def renamed(error: errors.InvalidField, given: Mapping[str, Any]) -> errors.InvalidField:
    """The error about a file by its place, as `files.3`, for who has named files by `file_ids`, or one by `file_id`."""
    room, _, place = (error.field or "").partition(".")
    if room != "files" or "files" in given:
        return error
    return errors.InvalidField(f"file_ids.{place}" if "file_ids" in given else "file_id", str(error))


def _refuse_twins(file_ids: Any, field: str) -> None:
    if len(set(file_ids)) < len(file_ids):
        raise ma.ValidationError("names a file twice", field)
