"""What Ollama's clients may send, field by field. Fields that it doesn't know are left out, as Ollama does."""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from dialects.fields import STORABLE, Flag, Whole, within
from webapi.ollama.options import OllamaOptions

MAX_MESSAGES = 1000
MAX_TOOLS = 128
MAX_INPUTS = 2048

_UNHEEDED = {"description": "Read and not heeded: workers keep their models."}
_NAME = {"description": "One of `GET /api/tags`, with or without `:latest`.", **STORABLE}
_FORMAT = {"description": "`json`, or a JSON schema that the answer fits.", "type": ["string", "object", "null"]}


class _Lenient(ma.Schema):
    class Meta:
        unknown = ma.EXCLUDE

    @ma.post_load
    def _without_nulls(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {name: value for name, value in data.items() if value is not None}


def _refused(what: str) -> fields.Raw:
    return fields.Raw(allow_none=True, metadata={"description": f"Refused unless empty: {what}."})


class _Asked(_Lenient):
    model = fields.String(required=True, validate=validate.Length(1, 200), metadata=_NAME)
    options = fields.Nested(OllamaOptions, allow_none=True)
    keep_alive = fields.Raw(allow_none=True, metadata=_UNHEEDED)


class _Answered(_Asked):
    stream = Flag(allow_none=True, metadata={"description": "NDJSON unless it is false."})
    format = fields.Raw(allow_none=True, metadata=_FORMAT)
    think = _refused("models here don't think aloud")
    logprobs = Flag(allow_none=True, metadata={"description": "How likely each token was."})
    top_logprobs = Whole(allow_none=True, validate=within(0, 20), metadata={"description": "Needs `logprobs`."})


class OllamaGenerateRequest(_Answered):
    """A prompt to be answered by the model's chat template, or to be continued as it stands (`raw`)."""

    prompt = fields.String(allow_none=True, metadata=STORABLE)
    system = fields.String(allow_none=True, metadata=STORABLE)
    raw = Flag(allow_none=True)
    suffix = fields.String(
        allow_none=True,
        metadata={"description": "What stands after the answer, of a model that can `insert`.", **STORABLE},
    )
    images = _refused("models here read text")
    template = _refused("a model has the catalogue's")
    context = _refused("send the conversation to `/api/chat`")


class OllamaCalledFunction(_Lenient):
    name = fields.String(required=True, validate=validate.Length(1, 64), metadata=STORABLE)
    arguments = fields.Dict(load_default=dict)


class OllamaMadeCall(_Lenient):
    id = fields.String(allow_none=True, validate=validate.Length(1, 200), metadata=STORABLE)
    function = fields.Nested(OllamaCalledFunction, required=True)


class OllamaChatMessage(_Lenient):
    role = fields.String(required=True, validate=validate.OneOf(("system", "user", "assistant", "tool")))
    content = fields.String(allow_none=True, metadata=STORABLE)
    images = _refused("models here read text")
    tool_calls = fields.List(fields.Nested(OllamaMadeCall), allow_none=True, validate=validate.Length(max=128))
    tool_name = fields.String(allow_none=True, metadata=STORABLE)
    tool_call_id = fields.String(allow_none=True, metadata=STORABLE)


class OllamaFunction(_Lenient):
    name = fields.String(required=True, validate=validate.Regexp(r"^[a-zA-Z0-9_.-]{1,64}$"))
    description = fields.String(allow_none=True, metadata=STORABLE)
    parameters = fields.Dict(allow_none=True, metadata={"description": "A JSON schema."})


class OllamaTool(_Lenient):
    type = fields.String(load_default="function", validate=validate.Equal("function"))
    function = fields.Nested(OllamaFunction, required=True)


class OllamaChatRequest(_Answered):
    """A conversation to be answered."""

    messages = fields.List(
        fields.Nested(OllamaChatMessage), load_default=list, validate=validate.Length(max=MAX_MESSAGES)
    )
    tools = fields.List(fields.Nested(OllamaTool), allow_none=True, validate=validate.Length(max=MAX_TOOLS))


class Inputs(fields.Field[list[str]]):
    """A text or several; always a list inside."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[str]:  # noqa: ARG002
        several = value if isinstance(value, list) else [value]
        if len(several) > MAX_INPUTS:
            raise ma.ValidationError(f"at most {MAX_INPUTS}")
        if not all(isinstance(text, str) and text for text in several):
            raise ma.ValidationError("must be a text or a list of texts, none of them empty")
        return several


class OllamaEmbedRequest(_Asked):
    """Texts to be embedded: a vector of length 1 for each."""

    input = Inputs(
        required=True,
        metadata={
            "oneOf": [{"type": "string", **STORABLE}, {"type": "array", "items": {"type": "string", **STORABLE}}]
        },
    )
    truncate = Flag(
        allow_none=True, metadata={"description": "Read and not heeded: a text that is too long is refused, never cut."}
    )
    dimensions = Whole(
        allow_none=True, validate=within(1, 65536), metadata={"description": "One of those that the model has."}
    )


class OllamaEmbeddingsRequest(_Asked):
    """The older of the two: one text."""

    prompt = fields.String(required=True, validate=validate.Length(1), metadata=STORABLE)


class OllamaShowRequest(_Lenient):
    model = fields.String(allow_none=True, validate=validate.Length(1, 200), metadata=_NAME)
    name = fields.String(allow_none=True, metadata={"description": "The older `model`.", **STORABLE})
    verbose = Flag(allow_none=True)
