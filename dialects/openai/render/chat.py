"""A chat as `chat.completion`, and its events as `chat.completion.chunk`s."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dialects import sse
from dialects.openai import errors
from dialects.openai.answers import (
    CalledFunction,
    ChatChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChatDelta,
    ChatMessage,
    ChunkChoice,
    MessageToolCall,
    ServiceTier,
)
from dialects.openai.render import logprobs, usage
from tasks import ids
from tasks.jobs.lifecycle import Status
from tasks.jobs.view import JobView
from tasks.queues.places import Wait
from tasks.streams.events import Delta, Event, Started, ToolCall, ToolResult

PREFIX = "chatcmpl-"


def completion(job: JobView, *, older: bool = False, made_by: str | None = None) -> ChatCompletion:
    """The answer of a job that succeeded. `older` calls functions as OpenAI did before there were tools; `made_by` is
    the model's fingerprint, where it is known."""
    result = job.result or {}
    told: ChatCompletion = {
        "id": ids.show(job.id, PREFIX),
        "object": "chat.completion",
        "created": created(job),
        "model": job.model,
        "choices": [_choice(place, one, older) for place, one in enumerate(result.get("choices", [result]))],
        "usage": usage.of(job),
        "service_tier": tier(job),
        "metadata": job.metadata,
    }
    if made_by is not None:
        told["system_fingerprint"] = made_by
    return told


def created(job: JobView) -> int:
    return int(job.created_at.timestamp())


def tier(job: JobView) -> ServiceTier:
    return "flex" if job.lane == "batch" else "default"


def _choice(index: int, result: Mapping[str, Any], older: bool) -> ChatChoice:
    return {
        "index": index,
        "message": _message(result["message"], older),
        "finish_reason": _reason(result["finish_reason"], older),
        "logprobs": logprobs.chat(logprobs.of(dict(result))),
    }


def _message(told: Mapping[str, Any], older: bool) -> ChatMessage:
    calls = [call(each) for each in told.get("tool_calls", ())]
    text: str | None = told["content"]
    message: ChatMessage = {
        "role": "assistant",
        "content": (text or None) if calls else text,
        "refusal": None,
        "annotations": [],
    }
    if calls and older:
        message["function_call"] = calls[0]["function"]
    elif calls:
        message["tool_calls"] = calls
    return message


def call(made: Mapping[str, Any]) -> MessageToolCall:
    """A call of a function, as it is stored."""
    function: CalledFunction = {"name": made["name"], "arguments": made["arguments"]}
    return {"id": made["id"], "type": "function", "function": function}


def _reason(reason: str, older: bool) -> Any:
    return "function_call" if older and reason == "tool_calls" else reason


@dataclass(slots=True)
class Chunks:
    """`calls.Rendering`: `job` is as it was when it was accepted. Calls of functions that are `served` here are told
    only where they turn out to be the client's to answer, since others were called with them."""

    job: JobView
    served: Sequence[str] = ()
    include_usage: bool = False
    older: bool = False
    made_by: str | None = None
    mimetype: str = "text/event-stream"
    _calls: dict[int, int] = field(default_factory=dict)  # how many tools each choice has called
    _begun: set[int] = field(default_factory=set)
    _unsettled: dict[int, list[ToolCall]] = field(default_factory=dict)

    def event(self, choice: int, event: Event) -> bytes:
        match event:
            case Started():
                return self._begin(choice)
            case Delta():
                delta: ChatDelta = {"content": event.text}
                return self._begin(choice) + self._chunk(self._part(choice, delta, event.logprobs))
            case ToolCall() if event.name in self.served:
                self._unsettled.setdefault(choice, []).append(event)
            case ToolCall():
                return self._begin(choice) + self._chunk(self._part(choice, self._called(choice, event)))
            case ToolResult():
                self._unsettled.pop(choice, None)
        return b""

    def choice_ended(self, choice: int, job: JobView) -> bytes:
        if job.status != Status.SUCCEEDED or job.result is None:
            return b""
        calls = b"".join(
            self._chunk(self._part(choice, self._called(choice, call))) for call in self._unsettled.pop(choice, ())
        )
        part = self._part(choice, {})
        part["finish_reason"] = _reason(job.result["finish_reason"], self.older)
        return self._begin(choice) + calls + self._chunk(part)

    def ended(self, job: JobView) -> bytes:
        if job.status != Status.SUCCEEDED:
            failed = errors.Failed(job)
            return sse.event(errors.of(failed.code, str(failed), failed.status))
        last = b""
        if self.include_usage:
            chunk = self._body([])
            chunk["usage"] = usage.of(job)
            last = sse.event(chunk)
        return last + b"data: [DONE]\n\n"

    def waiting(self, wait: Wait | None) -> bytes:
        return sse.comment(waits(wait))

    def failed(self, code: str, message: str) -> bytes:
        return sse.event(errors.of(code, message))

    def _begin(self, choice: int) -> bytes:
        """The first chunk of a choice says who speaks."""
        if choice in self._begun:
            return b""
        self._begun.add(choice)
        return self._chunk(self._part(choice, {"role": "assistant", "content": "", "refusal": None}))

    def _called(self, choice: int, event: ToolCall) -> ChatDelta:
        if self.older:
            return {"function_call": {"name": event.name, "arguments": event.arguments}}
        index = self._calls.get(choice, 0)
        self._calls[choice] = index + 1
        function = {"name": event.name, "arguments": event.arguments}
        return {"tool_calls": [{"index": index, "id": event.id, "type": "function", "function": function}]}  # type: ignore[typeddict-item]

    def _part(self, choice: int, delta: ChatDelta, told: Sequence[Any] = ()) -> ChunkChoice:
        return {"index": choice, "delta": delta, "logprobs": logprobs.chat(told), "finish_reason": None}

    def _chunk(self, part: ChunkChoice) -> bytes:
        return sse.event(self._body([part]))

    def _body(self, choices: list[ChunkChoice]) -> ChatCompletionChunk:
        chunk: ChatCompletionChunk = {
            "id": ids.show(self.job.id, PREFIX),
            "object": "chat.completion.chunk",
            "created": created(self.job),
            "model": self.job.model,
            "choices": choices,
            "service_tier": tier(self.job),
        }
        if self.made_by is not None:
            chunk["system_fingerprint"] = self.made_by
        if self.include_usage:
            chunk["usage"] = None
        return chunk


def waits(wait: Wait | None) -> str:
    """What a comment says while nothing else is said: where the job stands in its queue, and about when it starts."""
    if wait is None:
        return "still here"
    start = "" if wait.estimated_start_s is None else f", starts in about {wait.estimated_start_s:g} s"
    return f"queued, {wait.position} before it{start}"
