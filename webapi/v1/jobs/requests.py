"""What clients may send about jobs, field by field. Unknown fields are refused."""

import datetime as dt
import re
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from dialects.documents import Filter
from dialects.fields import STORABLE, Given, Labels, Real, Some, Stop, Strict, Timed, Whole, characters, filled, within
from dialects.named import JOB
from tasks import kinds
from tasks.documents import ranking
from tasks.jobs import view
from tasks.jobs.requests import LANES
from tasks.kinds import rag
from tasks.streams.stream import ANY_ATTEMPT, Cursor
from webapi.v1.jobs.conversation import MAX_MESSAGES, Conversation
from webapi.v1.paging import AFTER, PageQuery
from webapi.v1.rerank.requests import Candidates, Rerank
from webapi.v1.webhooks.requests import job_webhook

_STOP = {"type": "string", "minLength": 1, "maxLength": 64, "pattern": r"^[^\x00]*$"}
_STOPS = {"oneOf": [_STOP, {"type": "array", "maxItems": 8, "items": _STOP}, {"type": "null"}]}


class Params(Given):
    """How to sample. What isn't given is the worker's to choose."""

    max_tokens = Whole(
        allow_none=True, validate=within(1, 1_000_000), metadata={"description": "At most so many tokens of answer."}
    )
    temperature = Real(
        allow_none=True, validate=within(0, 2), metadata={"description": "0 always takes the likeliest token."}
    )
    top_p = Real(allow_none=True, validate=within(0, 1, above=True), metadata={"exclusiveMinimum": 0})
    top_k = Whole(allow_none=True, validate=within(0, 1000), metadata={"description": "0 turns it off."})
    min_p = Real(allow_none=True, validate=within(0, 1))
    repetition_penalty = Real(
        allow_none=True,
        validate=within(0, 2, above=True),
        metadata={"description": "1 is none.", "exclusiveMinimum": 0},
    )
    frequency_penalty = Real(
        allow_none=True,
        validate=within(-2, 2),
        metadata={"description": "What a token of the answer loses each time it has been said; 0 is none."},
    )
    presence_penalty = Real(
        allow_none=True,
        validate=within(-2, 2),
        metadata={"description": "What a token of the answer loses once it has been said; 0 is none."},
    )
    stop = Stop(allow_none=True, metadata={**_STOPS, "description": "The answer ends before any of these."})
    seed = Whole(
        allow_none=True,
        validate=within(0, 2**31 - 1),
        metadata={
            "description": "Drawn and kept when not given. It gives the same answer again when the job runs alone and"
            " undisturbed on the same build, threads and batch; not across load."
        },
    )


class Prompt(Strict):
    prompt = fields.String(required=True, validate=filled("prompt"), metadata=STORABLE)
    suffix = fields.String(
        validate=filled("suffix"),
        metadata={
            "description": "What stands after the answer, of a model of the type `infill`; others refuse it.",
            **STORABLE,
        },
    )


class _Request(Timed):
    model = fields.String(allow_none=True, metadata={"description": "The catalogue's default for the type if absent."})
    lane = fields.String(
        allow_none=True,
        validate=validate.OneOf(LANES),
        metadata={"description": "`batch` work waits while `interactive` (the default) waits."},
    )
    priority = Whole(
        allow_none=True, validate=within(0, 9), metadata={"description": "9 goes first; 5 when not given."}
    )
    metadata = Labels(
        allow_none=True,
        metadata={
            "description": "Kept and shown, never read: up to 16 pairs, keys to 64 characters, values to 512.",
            "maxProperties": 16,
            "additionalProperties": {"type": "string", "maxLength": 512, **STORABLE},
        },
    )
    webhook = job_webhook()


class _SampledRequest(_Request):
    params = fields.Nested(Params, allow_none=True)


class GenerateRequest(_SampledRequest):
    """A prompt to be continued."""

    type = fields.String(required=True, validate=validate.Equal("generate"), metadata={"enum": ["generate"]})
    input = fields.Nested(Prompt, required=True)


class ChatRequest(_SampledRequest):
    """A conversation to be answered."""

    type = fields.String(required=True, validate=validate.Equal("chat"), metadata={"enum": ["chat"]})
    input = fields.Nested(Conversation, required=True)


class Texts(Strict):
    texts = Some(fields.String(validate=filled("text"), metadata=STORABLE), 2048, required=True)


class EmbedRequest(_Request):
    """Texts to be embedded: a vector of length 1 each."""

    type = fields.String(required=True, validate=validate.Equal("embed"), metadata={"enum": ["embed"]})
    input = fields.Nested(Texts, required=True)


class RerankRequest(_Request):
    """Documents to be read with a query, the best first."""

    type = fields.String(required=True, validate=validate.Equal("rerank"), metadata={"enum": ["rerank"]})
    input = fields.Nested(Candidates, required=True)


class SaidMessage(Strict):
    """A turn of the conversation before a question."""

    role = fields.String(required=True, validate=validate.OneOf(("user", "assistant")))
    content = fields.String(required=True, validate=filled("message"), metadata=STORABLE)


class Question(Given):
    question = fields.String(required=True, validate=filled("question"), metadata=STORABLE)
    collection = fields.String(required=True, validate=characters(1, 200), metadata=STORABLE)
    top_k = Whole(allow_none=True, validate=within(1, 20), metadata={"description": "Passages to find; 5 if absent."})
    messages = Some(
        SaidMessage,
        MAX_MESSAGES,
        allow_none=True,
        metadata={"description": "The conversation before the question, which is made one of its own first."},
    )
    threshold = Real(
        allow_none=True,
        validate=within(0, 1),
        metadata={"description": f"Only passages with this `score` or more; {rag.THRESHOLD} if absent."},
    )
    filter = Filter("Only from documents for which this holds.", allow_none=True)
    neighbours = Whole(
        allow_none=True,
        validate=within(0, ranking.MAX_NEIGHBOURS),
        metadata={"description": "Read each with so many chunks before and after it."},
    )
    rerank = Rerank("Has a model of the type `rerank`, of this name or the default, choose the passages among more.")


class RagRequest(_SampledRequest):
    """A question to be answered from the documents of a collection."""

    type = fields.String(required=True, validate=validate.Equal("rag"), metadata={"enum": ["rag"]})
    input = fields.Nested(Question, required=True)


KINDS: dict[str, ma.Schema] = {
    "generate": GenerateRequest(),
    "chat": ChatRequest(),
    "embed": EmbedRequest(),
    "rerank": RerankRequest(),
    "rag": RagRequest(),
}

_REFERENCES = {name: f"#/components/schemas/{type(kind).__name__}" for name, kind in KINDS.items()}

EXAMPLE = {
    "type": "chat",
    "input": {"messages": [{"role": "user", "content": "Tell me a story about Anna."}]},
    "params": {"max_tokens": 100, "temperature": 0.8},
}

# How `JobRequest` is documented.
JOB_REQUEST = {
    "oneOf": [{"$ref": reference} for reference in _REFERENCES.values()],
    "discriminator": {"propertyName": "type", "mapping": _REFERENCES},
}


class JobRequest(ma.Schema):
    """Reads one of the kinds of request, as its `type` says."""

    def load(self, data: Any, **kwargs: Any) -> Any:
        kind = data.get("type")
        if not isinstance(kind, str) or kind not in KINDS:
            raise ma.ValidationError({"type": [f"must be one of: {', '.join(KINDS)}"]})
        return KINDS[kind].load(data, **kwargs)


NAME = validate.Regexp(r"^[^\x00]{1,200}$", error="must be 1 to 200 characters without NUL")


class JobsQuery(PageQuery):
    after = JOB.field(AFTER, attribute="before")
    status = fields.String(validate=validate.OneOf(view.STATUSES))
    type = fields.String(validate=validate.OneOf(tuple(kinds.KINDS)))
    model = fields.String(validate=NAME)
    since = fields.AwareDateTime(
        format="iso", default_timezone=dt.UTC, metadata={"description": "Created at this time (ISO 8601) or later."}
    )


class ShowQuery(Strict):
    wait = fields.Float(
        validate=within(0, 60),
        metadata={"description": "Answer when the job has ended, or after so many seconds. `Prefer: wait=N` asks too."},
    )
    encoding_format = fields.String(
        validate=validate.OneOf(("float", "base64")),
        load_default="float",
        metadata={"description": "Of embeddings: arrays of numbers, or each as base64 of little-endian float32."},
    )


class EventId(fields.Field[Cursor]):
    """An event's id, as in 1-42, or its number alone; inside, the attempt and the number."""

    PATTERN = "([0-9]{1,6}-)?([0-9]{1,9})"

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Cursor:  # noqa: ARG002
        match = re.fullmatch(self.PATTERN, value)
        if match is None:
            raise ma.ValidationError("must be an event's id, as in 1-42, or its number")
        return Cursor(int(match[1][:-1]) if match[1] else ANY_ATTEMPT, int(match[2]))


def _event_id(description: str, **options: Any) -> EventId:
    documented = {"description": description, "type": "string", "pattern": f"^{EventId.PATTERN}$"}
    return EventId(metadata=documented, **options)


class EventsQuery(Strict):
    after = _event_id("Only events after this one: an event's id, or its number. Goes before `Last-Event-ID`.")
    ticket = fields.String(metadata={"description": "Of `POST /v1/jobs/{job_id}/ticket`, where no key is sent."})


class PreferHeader(ma.Schema):
    prefer = fields.String(
        data_key="Prefer",
        metadata={"description": "`wait=N`: answer when the job has ended, or after N seconds (RFC 7240)."},
    )


class LastEventIdHeader(ma.Schema):
    after = _event_id(
        "Only events after this one; what an EventSource sends when it connects again.", data_key="Last-Event-ID"
    )
