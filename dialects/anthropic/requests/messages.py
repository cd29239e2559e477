"""`POST /v1/messages`, read; and each request of a batch, which is its body."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from dialects.anthropic.requests import blocks
from dialects.fields import STORABLE, Flag, Given, Real, Some, Stop, Whole, within
from dialects.openai.requests.fields import refuse, sampling
from dialects.wishes import Wishes
from tasks import errors
from tasks.jobs.requests import Submission
from tasks.kinds.generation import Generation, Shape, Tool

COUNT = "count_chat"
MAX_MESSAGES = 1000
MAX_TOOLS = 128
ROLES = ("user", "assistant", "system")

_UNHEEDED = {"description": "Read and not heeded."}
_SCHEMA = {"type": "object", "description": "A JSON schema."}
_BLOCKS = {
    "type": "array",
    "items": {"type": "object", "properties": {"type": {"type": "string"}, "text": {"type": "string"}}},
}
_CONTENT = {
    "description": "A text, or blocks: `text`, of an assistant `tool_use`, of a user `tool_result`.",
    "oneOf": [{"type": "string", **STORABLE}, _BLOCKS],
}
# What no model here can do, each with the values that ask for nothing of it.
_UNSUPPORTED: Mapping[str, tuple[Any, ...]] = {
    "thinking": ({"type": "disabled"},),
    "container": (),
    "inference_geo": (),
    "speed": ("standard",),
}


class _Lenient(ma.Schema):
    """Clients send back what they were answered, with whatever else they keep in it."""

    class Meta:
        unknown = ma.EXCLUDE


class AnthropicRequestMessage(_Lenient):
    role = fields.String(required=True, validate=validate.OneOf(ROLES))
    content = fields.Raw(required=True, metadata=_CONTENT)


class AnthropicTool(_Lenient):
    type = fields.String(allow_none=True, metadata={"description": "Only `custom`."})
    name = fields.String(
        required=True, validate=validate.Regexp(r"^[a-zA-Z0-9_-]{1,64}$", error="1 to 64 letters, digits, _ and -")
    )
    description = fields.String(allow_none=True, metadata=STORABLE)
    input_schema = fields.Dict(allow_none=True, metadata=_SCHEMA)


class AnthropicToolChoice(_Lenient):
    type = fields.String(required=True, validate=validate.OneOf(("auto", "any", "tool", "none")))
    name = fields.String(allow_none=True, metadata={"description": "Of the tool, where the type is `tool`."})
    disable_parallel_tool_use = Flag(allow_none=True, metadata={"description": "At most one tool is called."})


class AnthropicOutputFormat(Given):
    type = fields.String(required=True, validate=validate.Equal("json_schema"))
    schema = fields.Dict(required=True, metadata=_SCHEMA)


class AnthropicOutputConfig(Given):
    format = fields.Nested(AnthropicOutputFormat, allow_none=True)
    effort = fields.String(allow_none=True, metadata={"description": "Refused: no model here has a choice of it."})


class AnthropicMetadata(Given):
    user_id = fields.String(allow_none=True, validate=validate.Length(max=512), metadata=STORABLE)


class AnthropicConversation(Given):
    """What is put to the model."""

    model = fields.String(required=True, metadata={"description": "One of `GET /v1/models`."})
    messages = Some(AnthropicRequestMessage, MAX_MESSAGES, required=True)
    system = fields.Raw(allow_none=True, metadata=_CONTENT | {"description": "What goes before: a text, or blocks."})
    tools = fields.List(fields.Nested(AnthropicTool), allow_none=True, validate=validate.Length(max=MAX_TOOLS))
    tool_choice = fields.Nested(AnthropicToolChoice, allow_none=True)
    output_config = fields.Nested(AnthropicOutputConfig, allow_none=True)
    thinking = fields.Raw(allow_none=True, metadata={"description": "Refused unless its type is `disabled`."})
    speed = fields.String(allow_none=True, metadata={"description": "Only `standard`."})
    cache_control = fields.Raw(
        allow_none=True, metadata={"description": "Read and not heeded: prefixes are kept anyway."}
    )


class AnthropicCountRequest(AnthropicConversation):
    """A conversation of which only the length is wanted."""


class AnthropicMessageRequest(AnthropicConversation):
    """A conversation to be answered."""

    max_tokens = Whole(
        required=True, validate=within(1, 1_000_000), metadata={"description": "At most so many tokens of answer."}
    )
    stop_sequences = Stop(
        allow_none=True, metadata={"description": "The answer ends before any of these: up to eight."}
    )
    temperature = Real(allow_none=True, validate=within(0, 2), metadata={"description": "0 takes the likeliest token."})
    top_p = Real(allow_none=True, validate=within(0, 1))
    top_k = Whole(allow_none=True, validate=within(0, 1000), metadata={"description": "0 turns it off."})
    stream = Flag(allow_none=True, metadata={"description": "Server-sent events instead of one answer."})
    metadata = fields.Nested(
        AnthropicMetadata, allow_none=True, metadata={"description": "`user_id` is kept with the job."}
    )
    service_tier = fields.String(
        allow_none=True, validate=validate.OneOf(("auto", "standard_only")), metadata=_UNHEEDED
    )
    container = fields.Raw(allow_none=True, metadata={"description": "Refused: no code is run here."})
    inference_geo = fields.String(allow_none=True, metadata={"description": "Refused: there is one place."})
    diagnostics = fields.Raw(allow_none=True, metadata=_UNHEEDED)


def count(given: Mapping[str, Any], wishes: Wishes) -> Submission[Generation]:
    """The job that counts. Raises like `submission`."""
    return replace(submission(given, wishes), type=COUNT)


def submission(given: Mapping[str, Any], wishes: Wishes) -> Submission[Generation]:
    """The job that is asked for. Raises `InvalidField`, and `Unsupported` for what no model here can do."""
    refuse(given, _UNSUPPORTED)
    return Submission(
        type="chat",
        model=given["model"],
        request=_generation(given),
        lane=wishes.lane,
        priority=wishes.priority,
        metadata=given.get("metadata", {}),
        timing=wishes.timing,
        store=wishes.store,
    )


def _generation(given: Mapping[str, Any]) -> Generation:
    tools = tuple(_tools(given.get("tools", ())))
    choice = given.get("tool_choice", {})
    return Generation(
        turns=blocks.turns(given.get("system"), given["messages"]),
        max_tokens=given.get("max_tokens"),
        tools=tools,
        tool_choice=_choice(choice, tools),
        shape=_shape(given.get("output_config", {})),
        parallel_tool_calls=not choice.get("disable_parallel_tool_use"),
        **sampling({**given, "stop": given.get("stop_sequences", ())}),
    )


def _tools(given: list[Mapping[str, Any]]) -> list[Tool]:
    for number, tool in enumerate(given):
        if tool.get("type") not in (None, "custom"):
            raise errors.Unsupported(f"tools.{number}.type", "only tools of your own can be called here")
        if tool.get("input_schema") is None:
            raise errors.InvalidField(f"tools.{number}.input_schema", "must be a JSON schema")
    named = [Tool(tool["name"], tool.get("description"), tool["input_schema"]) for tool in given]
    if len({tool.name for tool in named}) < len(named):
        raise errors.InvalidField("tools", "two of them have the same name")
    return named


def _choice(choice: Mapping[str, Any], among: tuple[Tool, ...]) -> str | None:
    kind = choice.get("type")
    if kind in (None, "auto", "none"):
        return kind
    if not among:
        raise errors.InvalidField("tool_choice", "there are no tools")
    if kind == "any":
        return "required"
    if choice.get("name") not in [tool.name for tool in among]:
        raise errors.InvalidField("tool_choice.name", "names no tool that is given")
    return str(choice["name"])


def _shape(config: Mapping[str, Any]) -> Shape | None:
    if "effort" in config:
        raise errors.Unsupported("output_config.effort", "no model here can do that")
    return Shape(config["format"]["schema"]) if "format" in config else None
