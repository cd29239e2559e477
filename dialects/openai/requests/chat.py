"""`POST /v1/chat/completions`, read."""

from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import fields, validate

from dialects.fields import Flag, Some, Whole, within
from dialects.openai.requests import elsewhere, messages, tools
from dialects.openai.requests.fields import Sampled, refuse, sampling
from dialects.openai.requests.messages import MAX_MESSAGES, RequestMessage
from dialects.openai.requests.tools import CHOICE, FORMAT, MAX_TOOLS, OLDER_CHOICE, Choice, Function, FunctionTool
from dialects.wishes import Wishes
from tasks import errors
from tasks.jobs.requests import Submission
from tasks.kinds.generation import Generation, Tool

_UNHEEDED = {"description": elsewhere.UNHEEDED}

# Fields of OpenAI's for what no model here can do, each with the values that ask for nothing of it.
_UNSUPPORTED: Mapping[str, tuple[Any, ...]] = {
    "audio": (),
    "modalities": (["text"],),
    "web_search_options": (),
    "moderation": (),
    "reasoning_effort": ("none",),
    "verbosity": ("medium",),
}


class ChatCompletionRequest(Sampled):
    """A conversation to be answered."""

    messages = Some(RequestMessage, MAX_MESSAGES, required=True)
    max_completion_tokens = Whole(
        allow_none=True, validate=within(1, 1_000_000), metadata={"description": "At most so many tokens of answer."}
    )
    max_tokens = Whole(
        allow_none=True, validate=within(1, 1_000_000), metadata={"description": "The older `max_completion_tokens`."}
    )
    logprobs = Flag(allow_none=True, metadata={"description": "How likely each token was."})
    top_logprobs = Whole(allow_none=True, validate=within(0, 20), metadata={"description": "Needs `logprobs`."})
    response_format = Choice(allow_none=True, metadata=FORMAT)
    tools = fields.List(fields.Nested(FunctionTool), allow_none=True, validate=validate.Length(max=MAX_TOOLS))
    tool_choice = Choice(allow_none=True, metadata=CHOICE)
    parallel_tool_calls = Flag(allow_none=True, metadata={"description": "False has at most one function called."})
    functions = fields.List(
        fields.Nested(Function),
        allow_none=True,
        validate=validate.Length(max=MAX_TOOLS),
        metadata={"description": "The older `tools`."},
    )
    function_call = Choice(allow_none=True, metadata=OLDER_CHOICE)
    server_functions = fields.List(
        fields.String(validate=validate.Length(1, 64)),
        allow_none=True,
        validate=validate.Length(max=MAX_TOOLS),
        metadata={
            "description": "Not OpenAI's. Functions of `GET /v1/functions` that the model may have called: the calls"
            " are made here, and it goes on with their results, at most eight times."
        },
    )
    store = Flag(allow_none=True, metadata={"description": "Keeps it among the stored completions."})
    modalities = fields.List(fields.String(), allow_none=True, metadata={"description": "Only `text`."})
    audio = fields.Raw(allow_none=True, metadata=elsewhere.AUDIO)
    web_search_options = fields.Raw(allow_none=True, metadata=elsewhere.WEB_SEARCH)
    moderation = fields.Raw(allow_none=True, metadata=elsewhere.MODERATION)
    reasoning_effort = fields.String(allow_none=True, metadata={"description": "Only `none`."})
    verbosity = fields.String(allow_none=True, metadata={"description": "Only `medium`."})
    prediction = fields.Dict(allow_none=True, metadata=elsewhere.PREDICTION)
    prompt_cache_key = fields.String(allow_none=True, metadata=_UNHEEDED)
    prompt_cache_retention = fields.String(allow_none=True, metadata=_UNHEEDED)
    prompt_cache_options = fields.Dict(allow_none=True, metadata=elsewhere.CACHING)
    safety_identifier = fields.String(allow_none=True, metadata=_UNHEEDED)


def submission(given: Mapping[str, Any], wishes: Wishes, served: Sequence[Tool] = ()) -> Submission[Generation]:
    """The job that is asked for. `served` are the functions of the server that the request names.

    Raises `InvalidField`, and `Unsupported` for what no model here can do.
    """
    refuse(given, _UNSUPPORTED)
    return Submission(
        type="chat",
        model=given["model"],
        request=_generation(given, served),
        lane=wishes.lane,
        priority=wishes.priority,
        metadata=given.get("metadata", {}),
        timing=wishes.timing,
        store=given.get("store", wishes.store),
    )


def _generation(given: Mapping[str, Any], served: Sequence[Tool]) -> Generation:
    offered, choice = tools.tools(given, served)
    return Generation(
        turns=messages.turns(given["messages"]),
        max_tokens=given.get("max_completion_tokens", given.get("max_tokens")),
        tools=offered,
        server_functions=tuple(tool.name for tool in served),
        tool_choice=choice,
        shape=tools.shape(given.get("response_format")),
        logprobs=_logprobs(given),
        parallel_tool_calls=given.get("parallel_tool_calls", True),
        **sampling(given),
    )


def _logprobs(given: Mapping[str, Any]) -> int | None:
    """How many of the likeliest tokens are told beside each. Raises `InvalidField`."""
    if given.get("logprobs"):
        return int(given.get("top_logprobs", 0))
    if "top_logprobs" in given:
        raise errors.InvalidField("top_logprobs", "needs `logprobs: true`")
    return None
