"""A response as OpenAI's clients read it."""

from collections.abc import Mapping, Sequence
from typing import Any

from dialects.openai.render import chat
from dialects.openai.render.items import LOGPROBS, RESULTS
from dialects.openai.render.response_shapes import Response, ResponseError, ResponseStatus, ResponseUsage
from tasks import errors, ids
from tasks.jobs import responses
from tasks.jobs.lifecycle import Status
from tasks.jobs.view import JobView
from tasks.kinds.sampling import DEFAULTS
from tasks.models.logprobs import Logprob

# Errors that are the request's own fault; all others are the server's, in the words that OpenAI has for them.
_REQUESTS_FAULT = {
    errors.ContextLengthExceeded.code,
    errors.EngineRefused.code,
    errors.SchemaRefused.code,
    errors.Poison.code,
}
_STATUSES: Mapping[Status, ResponseStatus] = {
    Status.QUEUED: "queued",
    Status.RUNNING: "in_progress",
    Status.SUCCEEDED: "completed",
    Status.FAILED: "failed",
    Status.EXPIRED: "failed",
    Status.CANCELLED: "cancelled",
}


def response(job: JobView, said: Mapping[str, Any], output: Sequence[Mapping[str, Any]] | None = None) -> Response:
    """The response that a job is, as it stands. `said` is what its client said of it; `output` what it came to where
    that isn't in its result."""
    if output is None:
        output = outputs(job, said)
    ended = job.finished_at if job.ended else None
    status = state(job)
    return {
        "id": ids.show(job.id, ids.RESPONSE),
        "object": "response",
        "created_at": int(job.created_at.timestamp()),
        "completed_at": int(ended.timestamp()) if ended and status == "completed" else None,
        "status": status,
        "background": said.get("background", False),
        "error": _error(job),
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "model": job.model,
        "output": [dict(item) for item in output],
        "usage": usage(job),
        "metadata": job.metadata,
        "service_tier": chat.tier(job),
        **echo(said),  # type: ignore[typeddict-item]
    }


def echo(said: Mapping[str, Any]) -> dict[str, Any]:
    """What a response tells again of its request, with what holds where nothing was said."""
    told = {
        "instructions": said.get("instructions"),
        "max_output_tokens": said.get("max_output_tokens"),
        "max_tool_calls": said.get("max_tool_calls"),
        "parallel_tool_calls": said.get("parallel_tool_calls", True),
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "previous_response_id": said.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None, **said.get("reasoning", {})},
        "store": said.get("store", True),
        "temperature": said.get("temperature", DEFAULTS["temperature"]),
        "text": {**said.get("text", {}), "format": said.get("text", {}).get("format", {"type": "text"})},
        "tool_choice": said.get("tool_choice", "auto"),
        "tools": [_tool(tool) for tool in said.get("tools", ())],
        "top_logprobs": said.get("top_logprobs", 0),
        "top_p": said.get("top_p", DEFAULTS["top_p"]),
        "truncation": said.get("truncation", "disabled"),
        "user": said.get("user"),
        "safety_identifier": said.get("safety_identifier"),
        "prompt_cache_key": said.get("prompt_cache_key"),
        "prompt_cache_retention": said.get("prompt_cache_retention"),
    }
    conversation = said.get("conversation")
    if conversation is not None:
        told["conversation"] = {"id": conversation} if isinstance(conversation, str) else conversation
    return told


def _tool(given: Mapping[str, Any]) -> dict[str, Any]:
    if given["type"] != "function":
        return dict(given)
    return {"description": None, "parameters": None, "strict": True, **given}


def state(job: JobView) -> ResponseStatus:
    """The job's status in OpenAI's words."""
    if job.status == Status.SUCCEEDED and (job.result or {}).get("finish_reason") == "length":
        return "incomplete"
    return _STATUSES[Status(job.status)]


def outputs(job: JobView, said: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What came of a job that succeeded, item by item; nothing of others."""
    if job.result is None:
        return []
    made = responses.outputs(job.id, job.result)
    for item in made:
        if item["type"] == "message" and wants_logprobs(said):
            told = (Logprob.from_plain(*each) for each in job.result.get("logprobs", ()))
            item["content"][0]["logprobs"] = logprobs(told)
        if item["type"] == "file_search_call" and wants_results(said):
            item["results"] = results(job.result["passages"])
    return made


def wants_results(said: Mapping[str, Any]) -> bool:
    return RESULTS in said.get("include", ())


def results(passages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a search in vector stores found, of that the answer was written from."""
    return [
        {
            "file_id": passage["external_id"],
            "filename": passage["filename"],
            "score": passage["score"],
            "text": passage["text"],
            "attributes": passage["metadata"],
        }
        for passage in passages
    ]


def wants_logprobs(said: Mapping[str, Any]) -> bool:
    return LOGPROBS in said.get("include", ())


def logprobs(told: Any) -> list[dict[str, Any]]:
    """How likely tokens were."""
    return [{**_token(each), "top_logprobs": [_token(other) for other in each.top]} for each in told]


def _token(told: Any) -> dict[str, Any]:
    return {"token": told.token, "logprob": told.logprob, "bytes": list(told.piece)}


def usage(job: JobView) -> ResponseUsage | None:
    """What an ended job spent."""
    if not job.ended:
        return None
    spent = job.spent
    return {
        "input_tokens": spent.prompt,
        "input_tokens_details": {"cached_tokens": spent.cached, "cache_write_tokens": 0},
        "output_tokens": spent.completion,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": spent.prompt + spent.completion,
    }


def _error(job: JobView) -> ResponseError | None:
    if job.status not in (Status.FAILED, Status.EXPIRED):
        return None
    error = job.error or {"code": f"job_{job.status}", "message": f"the job was {job.status}"}
    theirs = error["code"] in _REQUESTS_FAULT
    return {"code": "invalid_prompt" if theirs else "server_error", "message": f"{error['code']}: {error['message']}"}
