"""What clients may send about summaries, field by field."""

import re
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from dialects.documents import FACTS
from dialects.fields import STORABLE, Flag, Given, Labels, Some, Strict, Timed, Whole, characters, within
from dialects.named import DOCUMENT
from tasks.documents import wording
from tasks.documents.ingest import MAX_CHARACTERS
from tasks.documents.kinds import SUFFIXES
from tasks.summaries import manner
from tasks.summaries.choice import MAX_DOCUMENTS
from webapi.v1.documents.requests import MAX_DOCUMENTS as MAX_TEXTS
from webapi.v1.documents.requests import MAX_FILES, Name, Text, UploadFields
from webapi.v1.paging import AFTER, PageQuery
from webapi.v1.webhooks.requests import job_webhook

_TEXT = {"type": "string", "minLength": 1, "maxLength": MAX_CHARACTERS, **STORABLE}
_TEXT_OBJECT = {
    "type": "object",
    "properties": {
        "text": _TEXT,
        "title": {"type": ["string", "null"], "minLength": 1, "maxLength": 512, **STORABLE},
        "metadata": {"type": ["object", "null"], **FACTS},
    },
    "required": ["text"],
    "additionalProperties": False,
}
_SOURCES = ("documents", "collection", "texts")


class _Language(fields.String):
    """A language by its English name or a tag of BCP 47; it becomes what a model is told."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        try:
            return wording.called(super()._deserialize(value, *args, **kwargs))
        except KeyError:
            raise ma.ValidationError("must be a language, by its English name or its code: german, de, pt-BR") from None


class _Manner(Given):
    """How a summary is to be."""

    style = fields.String(
        allow_none=True,
        validate=validate.OneOf(manner.STYLES),
        metadata={"description": "`brief` if absent. Goes not with `instruction`."},
    )
    instruction = fields.String(
        allow_none=True,
        validate=characters(1, manner.MAX_INSTRUCTION),
        metadata={"description": "What is wanted of each text, in words of one's own.", **STORABLE},
    )
    words = Whole(
        allow_none=True,
        validate=within(5, manner.MAX_WORDS),
        metadata={"description": "About so many. Goes not with `sentences`."},
    )
    sentences = Whole(
        allow_none=True,
        validate=within(1, manner.MAX_SENTENCES),
        metadata={"description": "At most so many; of `bullets`, points."},
    )
    language = _Language(
        allow_none=True,
        metadata={
            "description": "The summary's, as a code or an English name: `de`, `pt-BR`, `Spanish`. The text's own if"
            " absent.",
            "example": "Spanish",
        },
    )

    @ma.validates_schema(skip_on_field_errors=True)
    def _one_of_each(self, given: dict[str, Any], **_: Any) -> None:
        for one, other in (("instruction", "style"), ("sentences", "words")):
            if given.get(one) is not None and given.get(other) is not None:
                raise ma.ValidationError({one: [f"goes not with {other}"]})


class _Asked(_Manner, Timed):
    """What is said of a summary beside its documents."""

    model = fields.String(allow_none=True, metadata={"description": "The catalogue's default for chats if absent."})
    combine = Flag(allow_none=True, metadata={"description": "Also one summary of all documents, from theirs."})
    dry_run = Flag(allow_none=True, metadata={"description": "Only an estimate of what it takes: there is no job."})
    priority = Whole(
        allow_none=True, validate=within(0, 9), metadata={"description": "9 goes first; 5 when not given."}
    )
    webhook = job_webhook()


class SummaryText(Text):
    """A text to be summarised: it is in no collection, so there is nothing that it could replace."""

    class Meta:
        exclude = ("external_id",)


class _Text(fields.Field[Any]):
    """A text, or an object that has one and says more of it; always the object inside."""

    def __init__(self) -> None:
        super().__init__(metadata={"oneOf": [_TEXT, _TEXT_OBJECT]})

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        if not isinstance(value, str | dict):
            raise ma.ValidationError("must be a text, or an object with `text`")
        return SummaryText().load({"text": value} if isinstance(value, str) else value)


class SummaryRequest(_Asked):
    """Documents to be summarised: one of `documents`, `collection` and `texts`."""

    documents = Some(DOCUMENT.field("One that is ready, or was brought for it."), MAX_DOCUMENTS, allow_none=True)
    collection = Name(allow_none=True, metadata={"description": "All documents that are ready in it now."})
    texts = Some(_Text(), MAX_TEXTS, allow_none=True)
    metadata = Labels(
        allow_none=True,
        metadata={
            "description": "Kept and shown, never read: up to 16 pairs, keys to 64 characters, values to 512.",
            "maxProperties": 16,
            "additionalProperties": {"type": "string", "maxLength": 512, **STORABLE},
        },
    )

    @ma.validates_schema(skip_on_field_errors=True)
    def _one_source(self, given: dict[str, Any], **_: Any) -> None:
        named = [name for name in _SOURCES if given.get(name) is not None]
        if len(named) != 1:
            problem = f"one of {', '.join(_SOURCES)} is wanted" if not named else f"goes not with {named[0]}"
            raise ma.ValidationError({(named or _SOURCES)[-1] if named else "documents": [problem]})


EXAMPLE = {
    "texts": [{"text": "The boat costs 42 coins. Clara, a nurse, wants to buy it.", "title": "Boat"}],
    "style": "brief",
    "sentences": 2,
}


class UploadedSummary(_Asked):
    """The text fields of an upload of files that are to be summarised."""


class BringRequest(Strict):
    """Texts that are to be summarised later."""

    texts = Some(_Text(), MAX_TEXTS, required=True)


BRING_EXAMPLE = {"texts": [{"text": "The boat costs 42 coins.", "title": "Boat"}]}

TEXTS: dict[str, fields.Field[Any]] = UploadedSummary().fields
OBJECTS = tuple(name for name, field in TEXTS.items() if isinstance(field, fields.Nested | fields.Dict))
NUMBERS = tuple(name for name, field in TEXTS.items() if isinstance(field, Whole))
FLAGS = tuple(name for name, field in TEXTS.items() if isinstance(field, Flag))


def _as_text(name: str) -> dict[str, Any]:
    """How a field of an upload is documented."""
    if name in OBJECTS:
        return {"type": "string", **STORABLE, "contentMediaType": "application/json"}
    if name in NUMBERS:
        return {"type": "string", "pattern": "^[0-9]{1,9}$"}
    if name in FLAGS:
        return {"type": "string", "enum": ["true", "false"]}
    if isinstance(TEXTS[name], fields.AwareDateTime):
        return {"type": "string", "format": "date-time"}
    return {"type": "string", **STORABLE}


_FILES = {
    "type": "array",
    "items": {"type": "string", "format": "binary"},
    "minItems": 1,
    "maxItems": MAX_FILES,
    "description": f"Each with a name that ends in one of {' '.join(SUFFIXES)}.",
}
UPLOAD = {
    "type": "object",
    "properties": {
        "file": _FILES,
        **{name: _as_text(name) for name in TEXTS},
        "style": {"type": "string", "enum": list(manner.STYLES)},
        "priority": {"type": "string", "pattern": "^[0-9]$"},
    },
    "required": ["file"],
    "additionalProperties": False,
}
BRING_TEXTS = ("title", "metadata")
BRING_FIELDS = {name: UploadFields().fields[name] for name in BRING_TEXTS}
BRING_UPLOAD = {
    "type": "object",
    "properties": {
        "file": _FILES,
        "title": {"type": "string", **STORABLE, "minLength": 1, "maxLength": 512},
        "metadata": {"type": "string", **STORABLE, "contentMediaType": "application/json"},
    },
    "required": ["file"],
    "additionalProperties": False,
}


class About(Given):
    """What is said of all files that are brought."""

    title = BRING_FIELDS["title"]
    metadata = BRING_FIELDS["metadata"]


_NUMBER = {"description": AFTER, "pattern": "^[0-9]{1,9}$", "type": "string"}


class Number(fields.Field[int]):
    """The number of a result, as a text."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:  # noqa: ARG002
        if not re.fullmatch("[0-9]{1,9}", value):
            raise ma.ValidationError("must be a result's number")
        return int(value)


class ResultsQuery(PageQuery):
    after = Number(metadata=_NUMBER, load_default=0)


class EventsQuery(Strict):
    after = Number(metadata={**_NUMBER, "description": "Only results after this one. Goes before `Last-Event-ID`."})


class LastEventIdHeader(ma.Schema):
    after = Number(
        data_key="Last-Event-ID",
        metadata={**_NUMBER, "description": "What an EventSource sends when it connects again."},
    )
