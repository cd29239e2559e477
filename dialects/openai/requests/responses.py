"""`POST /v1/responses`, read."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from dialects.fields import STORABLE, Flag, Given, Labels, Real, Whole, within
from dialects.named import CONVERSATION, RESPONSE
from dialects.openai import items
from dialects.openai.render.items import INCLUDABLE, LOGPROBS, RESULTS
from dialects.openai.requests import elsewhere, file_search, response_tools
from dialects.openai.requests.fields import sampling
from dialects.openai.requests.response_tools import CHOICE, FORMAT, MAX_TOOLS, TOOL
from dialects.wishes import Wishes
from tasks import errors, ids
from tasks.jobs.requests import Submission
from tasks.jobs.responses import TYPE
from tasks.kinds.generation import Generation
from tasks.kinds.response import Asked

COUNT = "count"
TIERS = ("auto", "default", "flex", "scale", "priority", "fast", "ultrafast")

_UNHEEDED = {"description": elsewhere.UNHEEDED}
_CONVERSATION = {
    "description": "The conversation that this goes on; what is said is put into it when the response has ended.",
    "oneOf": [
        {"type": "string"},
        {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
        {"type": "null"},
    ],
}
# What is told again of a request, as it was given.
_SAID = (
    "background",
    "conversation",
    "include",
    "max_output_tokens",
    "max_tool_calls",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "store",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
)


class AsGiven(fields.Field[Any]):
    """What is looked at when the rest is known."""


class Reasoning(Given):
    effort = fields.String(allow_none=True, metadata={"description": "Only `none`."})
    summary = fields.String(allow_none=True, metadata=_UNHEEDED)
    generate_summary = fields.String(allow_none=True, metadata=_UNHEEDED)
    context = fields.String(allow_none=True, metadata=_UNHEEDED)
    mode = fields.String(allow_none=True, metadata=_UNHEEDED)


class TextConfig(Given):
    format = AsGiven(allow_none=True, metadata=FORMAT)
    verbosity = fields.String(allow_none=True, metadata={"description": "Only `medium`."})


class ResponseStreamOptions(Given):
    include_obfuscation = Flag(allow_none=True, metadata={"description": "Read and not heeded: nothing is padded."})


class BackgroundOptions(Given):
    completion_window = fields.String(
        allow_none=True,
        validate=validate.OneOf(("soonest", "2h", "8h")),
        metadata={"description": "All but `soonest` wait in the batch lane; they need `background`."},
    )
    continuation_id = fields.String(allow_none=True, metadata=_UNHEEDED)


class Conversational(Given):
    """What is answered, and with what."""

    model = fields.String(
        allow_none=True, metadata={"description": "One of `GET /v1/models`; the first that chats if absent."}
    )
    input = AsGiven(allow_none=True, metadata={"description": "A text, or items.", **items.INPUT})
    instructions = fields.String(
        allow_none=True, metadata={"description": "What a system says first; not of the previous response.", **STORABLE}
    )
    previous_response_id = fields.String(
        allow_none=True, metadata={"description": "The response that this one goes on from, with all before it."}
    )
    conversation = fields.Raw(allow_none=True, metadata=_CONVERSATION)
    tools = fields.List(AsGiven(metadata=TOOL), allow_none=True, validate=validate.Length(max=MAX_TOOLS))
    tool_choice = AsGiven(allow_none=True, metadata=CHOICE)
    parallel_tool_calls = Flag(allow_none=True, metadata={"description": "False has at most one function called."})
    text = fields.Nested(TextConfig, allow_none=True)
    reasoning = fields.Nested(Reasoning, allow_none=True)
    truncation = fields.String(
        allow_none=True,
        validate=validate.OneOf(("auto", "disabled")),
        metadata={"description": "`auto` drops the oldest turns where there is no room for all."},
    )


class ResponseRequest(Conversational):
    """What is to be answered. Nothing is required but something to answer."""

    background = Flag(allow_none=True, metadata={"description": "Answered at once, and made whoever is gone."})
    background_options = fields.Nested(BackgroundOptions, allow_none=True)
    store = Flag(allow_none=True, metadata={"description": "Unless false, it can be looked at later."})
    stream = Flag(allow_none=True, metadata={"description": "Server-sent events instead of one answer."})
    stream_options = fields.Nested(ResponseStreamOptions, allow_none=True)
    include = fields.List(
        fields.String(validate=validate.OneOf(INCLUDABLE)),
        allow_none=True,
        validate=validate.Length(max=32),
        metadata={
            "description": f"`{LOGPROBS}`: how likely tokens were; `{RESULTS}`: what a search found. Others: nothing."
        },
    )
    max_output_tokens = Whole(allow_none=True, validate=within(1, 1_000_000))
    max_tool_calls = Whole(
        allow_none=True, validate=within(1, 1_000_000), metadata={"description": "Told again, and not heeded."}
    )
    temperature = Real(allow_none=True, validate=within(0, 2), metadata={"description": "0 takes the likeliest token."})
    top_p = Real(allow_none=True, validate=within(0, 1))
    top_logprobs = Whole(
        allow_none=True,
        validate=within(0, 20),
        metadata={"description": f"Beside each token, where `include` names `{LOGPROBS}`."},
    )
    metadata = Labels(allow_none=True, metadata={"description": "Up to 16 pairs, kept with it."})
    service_tier = fields.String(
        allow_none=True,
        validate=validate.OneOf(TIERS),
        metadata={"description": "`flex` waits in the batch lane, behind all that is interactive."},
    )
    user = fields.String(allow_none=True, metadata=_UNHEEDED | STORABLE)
    safety_identifier = fields.String(allow_none=True, metadata=_UNHEEDED | STORABLE)
    prompt_cache_key = fields.String(allow_none=True, metadata=_UNHEEDED | STORABLE)
    prompt_cache_retention = fields.String(allow_none=True, metadata=_UNHEEDED)
    prompt_cache_options = fields.Dict(allow_none=True, metadata=elsewhere.CACHING)
    access_programs = fields.Dict(allow_none=True, metadata=_UNHEEDED)
    image = fields.Dict(allow_none=True, metadata=_UNHEEDED)
    prompt = fields.Raw(allow_none=True, metadata={"description": "Refused: there are no templates here."})
    context_management = fields.Raw(allow_none=True, metadata={"description": "Refused: see `truncation`."})
    moderation = fields.Raw(allow_none=True, metadata=elsewhere.MODERATION)

    @ma.validates_schema
    def _fits_together(self, data: dict[str, Any], **_: Any) -> None:
        if data.get("background") and data.get("store") is False:
            raise ma.ValidationError("a response in the background is stored", "background")
        window = (data.get("background_options") or {}).get("completion_window") or "soonest"
        if window != "soonest" and (data.get("stream") or not data.get("background")):
            raise ma.ValidationError("needs `background`, and no `stream`", "background_options.completion_window")
        if data.get("previous_response_id") and data.get("conversation"):
            raise ma.ValidationError("either this or `conversation`", "previous_response_id")


class InputTokensRequest(Conversational):
    """What would be answered, of which only the length is wanted."""

    personality = fields.String(allow_none=True, metadata=_UNHEEDED)


def count(given: Mapping[str, Any], wishes: Wishes) -> Submission[Asked]:
    """The job that counts. Raises like `submission`."""
    asked = replace(submission(given, wishes), type=COUNT, store=wishes.store)
    return replace(asked, request=replace(asked.request, said={}))


def submission(given: Mapping[str, Any], wishes: Wishes) -> Submission[Asked]:
    """The job that is asked for. Raises `InvalidField`, and `Unsupported` for what no model here can do."""
    refuse_unsupported(given)
    return Submission(
        type=TYPE,
        model=given.get("model"),
        request=asked(given),
        lane=_lane(given, wishes),
        priority=wishes.priority,
        metadata=given.get("metadata", {}),
        timing=wishes.timing,
        store=False if given.get("store") is False else None,
    )


def refuse_unsupported(given: Mapping[str, Any]) -> None:
    """Raises `Unsupported` for the first field that asks for what can't be had."""
    for name in ("prompt", "context_management", "moderation"):
        if name in given:
            raise errors.Unsupported(name, "that can't be had here")
    if given.get("reasoning", {}).get("effort", "none") != "none":
        raise errors.Unsupported("reasoning.effort", "no model here can do that")
    if given.get("text", {}).get("verbosity", "medium") != "medium":
        raise errors.Unsupported("text.verbosity", "no model here can do that")


def asked(given: Mapping[str, Any]) -> Asked:
    """What is to be answered, and how."""
    offered, choice = response_tools.tools(given.get("tools", ()), given.get("tool_choice"))
    answer = Generation(
        max_tokens=given.get("max_output_tokens"),
        tools=offered,
        tool_choice=choice,
        shape=response_tools.shape(given.get("text", {}).get("format")),
        logprobs=_logprobs(given),
        parallel_tool_calls=given.get("parallel_tool_calls", True),
        **sampling(given),
    )
    return Asked(
        items=tuple(_items(given)),
        answer=answer,
        instructions=given.get("instructions"),
        said={name: given[name] for name in _SAID if name in given},
        previous=previous(given),
        conversation=_conversation(given),
        truncates=given.get("truncation") == "auto",
        search=file_search.search(given.get("tools", ()), given.get("tool_choice")),
    )


def _items(given: Mapping[str, Any]) -> list[items.Item]:
    """What is asked now. None needs to be, but an empty list that is all there is was meant to have something in it."""
    found = items.read(given["input"]) if "input" in given else []
    alone = not any(name in given for name in ("previous_response_id", "conversation", "instructions"))
    if given.get("input") == [] and alone:
        raise errors.InvalidField("input", "the list is empty")
    return found


def previous(given: Mapping[str, Any]) -> Any:
    """The response that is named. Raises `PreviousResponseMissing` for what can't be one's id."""
    shown = given.get("previous_response_id")
    if shown is None:
        return None
    parsed = ids.parse(shown, RESPONSE.prefix)
    if parsed is None:
        message = f"Previous response with id '{shown[:64]}' not found."
        raise errors.PreviousResponseMissing("previous_response_id", message)
    return parsed


def _conversation(given: Mapping[str, Any]) -> Any:
    """The conversation that is named. Raises `InvalidField`, and `ConversationMissing` for what can't be one's id."""
    named = given.get("conversation")
    shown = named.get("id") if isinstance(named, Mapping) else named
    if named is None:
        return None
    if not isinstance(shown, str):
        raise errors.InvalidField("conversation", "must be a conversation's id")
    parsed = ids.parse(shown, CONVERSATION.prefix)
    if parsed is None:
        raise errors.ConversationMissing("conversation", f"Conversation with id '{shown[:64]}' not found.")
    return parsed


def _logprobs(given: Mapping[str, Any]) -> int | None:
    if LOGPROBS in given.get("include", ()) or given.get("top_logprobs"):
        return int(given.get("top_logprobs", 0))
    return None


def _lane(given: Mapping[str, Any], wishes: Wishes) -> str:
    window = given.get("background_options", {}).get("completion_window", "soonest")
    return wishes.lane if window == "soonest" else "batch"
