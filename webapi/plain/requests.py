"""What clients of the plain dialect may send, and which jobs it asks for."""

from collections.abc import Mapping
from typing import Any

from marshmallow import fields

from dialects.documents import Facts, facts, not_blank
from dialects.fields import STORABLE, Flag, Given, Some, Whole, filled, within
from tasks import errors, kinds
from tasks.documents.ingest import NewDocument
from tasks.jobs.requests import Request, Stored, Submission
from tasks.kinds.ingest import Ingest
from tasks.kinds.rag import TOP_K
from webapi.v1.documents.requests import MAX_DOCUMENTS, Name
from webapi.v1.jobs.requests import Params

COLLECTION = "default"

_OWN = {"description": "The catalogue's default if absent."}
_WHERE = {"description": f"`{COLLECTION}` if absent."}


class PlainRequest(Params):
    """How an answer is sampled, by whom, and whether it comes in pieces."""

    model = fields.String(allow_none=True, metadata=_OWN)
    stream = Flag(allow_none=True, metadata={"description": "Server-sent events, one for each piece."})


class PlainGenerateRequest(PlainRequest):
    """A prompt to be continued as it stands."""

    prompt = fields.String(required=True, validate=filled("prompt"), metadata=STORABLE)


class RagChatRequest(PlainRequest):
    """A question to be answered from what was brought."""

    query = fields.String(required=True, validate=filled("query"), metadata=STORABLE)
    collection = Name(allow_none=True, metadata=_WHERE)
    num_context_docs = Whole(
        allow_none=True, validate=within(1, 20), metadata={"description": f"Passages to find; {TOP_K} if absent."}
    )


class TextsMetadata(Facts):
    """Said of every text, or a list with what is said of each."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(value, list):
            return [super(TextsMetadata, self)._deserialize(one, *args, **kwargs) for one in value[: MAX_DOCUMENTS + 1]]
        return super()._deserialize(value, *args, **kwargs)


_EACH = facts("").metadata
_METADATA = {
    "description": "Of all texts, or of each in a list as long.",
    "oneOf": [
        {"type": "object", **{name: told for name, told in _EACH.items() if name != "description"}},
        {"type": "array", "maxItems": MAX_DOCUMENTS, "items": {"type": "object"}},
        {"type": "null"},
    ],
}


class RagDocumentsRequest(Given):
    """Texts that questions are to be answered from."""

    texts = Some(
        fields.String(validate=not_blank("text"), metadata={"minLength": 1, **STORABLE}), MAX_DOCUMENTS, required=True
    )
    metadata = TextsMetadata(allow_none=True, metadata=_METADATA)
    collection = Name(allow_none=True, metadata=_WHERE)
    model = fields.String(allow_none=True, metadata={"description": "That embeds them, of a new collection."})


def generation(given: Mapping[str, Any]) -> Submission[Request]:
    return _asked("generate", given, {"prompt": given["prompt"]})


def question(given: Mapping[str, Any]) -> Submission[Request]:
    asked = {
        "question": given["query"],
        "collection": given.get("collection", COLLECTION),
        "top_k": given.get("num_context_docs", TOP_K),
    }
    return _asked("rag", given, asked)


def ingest(given: Mapping[str, Any]) -> Submission[Ingest]:
    """Raises `InvalidField` where the list of metadata isn't as long as that of texts."""
    texts, told = given["texts"], given.get("metadata", {})
    each = told if isinstance(told, list) else [told] * len(texts)
    if len(each) != len(texts):
        raise errors.InvalidField("metadata", f"says something of {len(each)} texts, and there are {len(texts)}")
    new = tuple(NewDocument(text, None, "text", None, None, said) for text, said in zip(texts, each, strict=True))
    return Submission("ingest", given.get("model"), Ingest(given.get("collection", COLLECTION), new))


def _asked(kind: str, given: Mapping[str, Any], asked: Mapping[str, Any]) -> Submission[Request]:
    params = {name: given[name] for name in Params().fields if name in given}
    return Submission(kind, given.get("model"), kinds.KINDS[kind].parse(Stored(asked, params)))
