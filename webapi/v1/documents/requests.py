"""What clients may send about documents, field by field."""

import re
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from dialects.documents import facts, not_blank
from dialects.fields import STORABLE, Flag, Given, Some, Strict, Timed, Whole, characters, within
from dialects.named import DOCUMENT
from tasks.documents import charsets, chunking, wording
from tasks.documents.homes import LEAST_TOKENS
from tasks.documents.ingest import MAX_CHARACTERS
from tasks.documents.kinds import SUFFIXES
from tasks.documents.library import STATUSES
from tasks.jobs.requests import LANES
from webapi.v1.paging import AFTER, PageQuery
from webapi.v1.webhooks.requests import job_webhook

MAX_DOCUMENTS = 100
MAX_FILES = 20
MOST_TOKENS = 65_536  # of a chunk; what a model takes is less

NO_CHARSET = "no charset that is known here; such are utf-8, windows-1252, shift_jis"

_NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"


class Name(fields.String):
    """A collection's name, which has its place in a path."""

    def __init__(self, **options: Any) -> None:
        described = {"pattern": f"^{_NAME}$", "example": "default"}
        super().__init__(metadata=described | options.pop("metadata", {}), **options)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        name = str(super()._deserialize(value, *args, **kwargs))
        if not is_name(name):
            raise ma.ValidationError("1 to 64 letters, digits, '.', '_' and '-', the first a letter or a digit")
        return name


def is_name(text: str) -> bool:
    """Whether a collection can be called so."""
    return re.fullmatch(_NAME, text) is not None


class _About(Given):
    """What is said of a document beside its text."""

    title = fields.String(allow_none=True, validate=characters(1, 512), metadata=STORABLE)
    metadata = facts("Shown with what is found; a search can filter by it.")


def _external_id(description: str) -> fields.String:
    return fields.String(
        allow_none=True, validate=characters(1, 256), metadata={"description": description, **STORABLE}
    )


class Text(_About):
    external_id = _external_id("What the document is called where it comes from. It replaces the one that has it.")
    text = fields.String(
        required=True, validate=not_blank("text"), metadata={"minLength": 1, "maxLength": MAX_CHARACTERS, **STORABLE}
    )


class _Job(Timed):
    """What a client may say of the job that its request makes."""

    lane = fields.String(
        allow_none=True,
        validate=validate.OneOf(LANES),
        metadata={"description": "`batch` work waits while `interactive` (the default) waits."},
    )
    priority = Whole(
        allow_none=True, validate=validate.Range(0, 9), metadata={"description": "9 goes first; 5 when not given."}
    )
    webhook = job_webhook()


class Language(fields.String):
    """A language by its English name or its code of ISO 639-1."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        language = str(super()._deserialize(value, *args, **kwargs)).lower()
        if language not in wording.LANGUAGES:
            raise ma.ValidationError("must be a language, by its English name or its code: german, or de")
        return language


class _Shaped(Given):
    """What is decided when a collection is made."""

    model = fields.String(
        allow_none=True,
        metadata={"description": "Of a new collection; if absent, the catalogue's default for embeddings."},
    )
    language = Language(
        allow_none=True,
        metadata={"description": "Of a new collection: whose words it has, `english` if absent.", "example": "german"},
    )
    chunk_tokens = Whole(
        allow_none=True,
        validate=within(LEAST_TOKENS, MOST_TOKENS),
        metadata={"description": f"Of a new collection: what its chunks have at most, {chunking.TOKENS} if absent."},
    )
    chunk_overlap = Whole(
        allow_none=True,
        validate=within(0, MOST_TOKENS // 2),
        metadata={"description": f"Of a new collection: what is said twice, {chunking.OVERLAP} if absent."},
    )


class NewCollection(_Shaped):
    """A collection that documents can be brought into."""

    name = Name(required=True)


class _Ingest(_Shaped, _Job):
    collection = Name(required=True, metadata={"description": "Made when there is none of this name."})


class ModelChange(_Job):
    """The model by which a collection's documents are to be embedded from now on."""

    model = fields.String(required=True, metadata={"description": "One that embeds, of `GET /v1/models`."})


class IngestRequest(_Ingest):
    """Texts to be searched."""

    documents = Some(Text, MAX_DOCUMENTS, required=True)


class Charset(fields.String):
    """The name of a charset that can be read here, as we call it."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        charset = charsets.known(str(super()._deserialize(value, *args, **kwargs)))
        if charset is None:
            raise ma.ValidationError(NO_CHARSET)
        return charset


class UploadFields(_Ingest, _About):
    """The text fields of an upload; title, metadata and charset are every file's."""

    charset = Charset(allow_none=True)
    external_id = _external_id("Of the one file: it replaces the document that has it.")
    external_ids = Some(fields.String(validate=characters(1, 256)), MAX_FILES, allow_none=True)
    replace = Flag(allow_none=True)


INGEST_EXAMPLE = {
    "collection": "default",
    "documents": [{"text": "The code of the harbour is 19.", "title": "Facts", "metadata": {"year": 2026}}],
}

# The fields of an upload as texts: those that aren't texts in JSON.
TEXTS: dict[str, fields.Field[Any]] = UploadFields().fields
OBJECTS = tuple(name for name, field in TEXTS.items() if isinstance(field, fields.Nested | fields.Dict))
LISTS = tuple(name for name, field in TEXTS.items() if isinstance(field, fields.List))
NUMBERS = tuple(name for name, field in TEXTS.items() if isinstance(field, Whole))
FLAGS = tuple(name for name, field in TEXTS.items() if isinstance(field, Flag))


def _as_text(name: str) -> dict[str, Any]:
    """How a field of an upload is documented, where that isn't as a field of JSON."""
    if name in OBJECTS + LISTS:
        return {"type": "string", **STORABLE, "contentMediaType": "application/json"}
    if name in NUMBERS:
        return {"type": "string", "pattern": "^[0-9]{1,9}$"}
    if name in FLAGS:
        return {"type": "string", "enum": ["true", "false"]}
    if isinstance(TEXTS[name], fields.AwareDateTime):
        return {"type": "string", "format": "date-time"}
    return {"type": "string", **STORABLE}


UPLOAD = {
    "type": "object",
    "properties": {
        "file": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "minItems": 1,
            "maxItems": MAX_FILES,
            "description": f"Each with a name that ends in one of {' '.join(SUFFIXES)}.",
        },
        **{name: _as_text(name) for name in TEXTS},
        "collection": {"type": "string", "pattern": f"^{_NAME}$"},
        "title": {"type": "string", **STORABLE, "minLength": 1, "maxLength": 512},
        "charset": {
            "type": "string",
            "pattern": "^[A-Za-z0-9][A-Za-z0-9._:-]{0,39}$",
            "example": "windows-1252",
            "description": "Of all files that don't say it in bytes of their own; before what a part's header says.",
        },
        "external_id": {"type": "string", **STORABLE, "minLength": 1, "maxLength": 256},
        "external_ids": {**_as_text("external_ids"), "description": "An array, one for each of several files."},
        "replace": {**_as_text("replace"), "description": "Each file replaces the documents of its name."},
        "lane": {"type": "string", "enum": list(LANES)},
        "priority": {"type": "string", "pattern": "^[0-9]$"},
    },
    "required": ["file", "collection"],
    "additionalProperties": False,
}
NAME_IN_PATH = {"in": "path", "name": "name", "required": True, "schema": {"type": "string", "pattern": f"^{_NAME}$"}}


class DocumentsQuery(PageQuery):
    collection = Name(metadata={"description": "Only of this collection."})
    external_id = fields.String(validate=characters(1, 256), metadata=STORABLE)
    filename = fields.String(validate=characters(1, 255), metadata=STORABLE)
    archive = fields.String(
        validate=characters(1, 256), metadata={"description": "Only what came in the archive of this name.", **STORABLE}
    )
    status = fields.String(validate=validate.OneOf(STATUSES))
    after = DOCUMENT.field(AFTER, attribute="before")


class TextQuery(Strict):
    """Which part of a text, in characters."""

    begins = fields.Integer(load_default=0, data_key="from", validate=within(0, MAX_CHARACTERS))
    limit = fields.Integer(load_default=MAX_CHARACTERS, validate=within(1, MAX_CHARACTERS))


class ChunksQuery(PageQuery):
    after = fields.Integer(validate=within(0, MAX_CHARACTERS), metadata={"description": AFTER})


class CollectionsQuery(PageQuery):
    after = Name(metadata={"description": AFTER})
