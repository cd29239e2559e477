"""A chat as Anthropic's `message`, and its events as those of a streamed one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dialects import sse
from dialects.anthropic import errors
from dialects.anthropic.answers import AnthropicMessage, AnthropicUsage, StopReason
from dialects.openai.render.chat import waits
from tasks import ids
from tasks.jobs.lifecycle import Status
from tasks.jobs.view import JobView
from tasks.queues.places import Wait
from tasks.streams.events import Delta, Event, Started, ToolCall

PREFIX = "msg_"

_REASONS: Mapping[str, StopReason] = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


def message(job: JobView) -> AnthropicMessage:
    """The answer of a job that succeeded."""
    result = job.result or {}
    told = _opened(job)
    told["content"] = _content(result["message"])
    told["stop_reason"] = _REASONS[result["finish_reason"]]
    told["usage"] = _usage(job)
    return told


def _opened(job: JobView) -> AnthropicMessage:
    """A message of which nothing has been said yet."""
    return {
        "id": ids.show(job.id, PREFIX),
        "type": "message",
        "role": "assistant",
        "model": job.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(job),
    }


def _usage(job: JobView) -> AnthropicUsage:
    spent = job.spent
    return {
        "input_tokens": spent.prompt - spent.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": spent.cached,
        "output_tokens": spent.completion,
        "service_tier": "batch" if job.lane == "batch" else "standard",
    }


def _content(said: Mapping[str, Any]) -> list[Any]:
    text = said["content"]
    calls = [_call(call["id"], call["name"], call["arguments"]) for call in said.get("tool_calls", ())]
    return [{"type": "text", "text": text}, *calls] if text or not calls else calls


def _call(id: str, name: str, arguments: str) -> dict[str, Any]:
    read = json.loads(arguments)
    return {"type": "tool_use", "id": id, "name": name, "input": read if isinstance(read, dict) else {}}


@dataclass(slots=True)
class Events:
    """`calls.Rendering`: `job` is as it was when it was accepted."""

    job: JobView
    mimetype: str = "text/event-stream"
    _begun: bool = False
    _blocks: int = 0  # that were begun
    _speaking: bool = False  # the last of them is a text that goes on

    def event(self, choice: int, event: Event) -> bytes:
        del choice
        match event:
            case Started():
                return self._begin(event.prompt_tokens)
            case Delta():
                return self._begin() + self._said(event.text)
            case ToolCall():
                return self._begin() + self._close() + self._called(event)
        return b""

    def choice_ended(self, choice: int, job: JobView) -> bytes:
        del choice, job
        return b""

    def ended(self, job: JobView) -> bytes:
        if job.status != Status.SUCCEEDED or job.result is None:
            return _event("error", errors.failed(job))
        said = b"" if self._blocks else self._said("")
        told = {"stop_reason": _REASONS[job.result["finish_reason"]], "stop_sequence": None}
        last = _event("message_delta", {"type": "message_delta", "delta": told, "usage": _usage(job)})
        return self._begin() + said + self._close() + last + _event("message_stop", {"type": "message_stop"})

    def waiting(self, wait: Wait | None) -> bytes:
        return sse.comment(waits(wait))

    def failed(self, code: str, message: str) -> bytes:
        del code
        return _event("error", errors.of("api_error", message))

    def _begin(self, prompt_tokens: int = 0) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        opened = _opened(self.job)
        opened["usage"]["input_tokens"] = prompt_tokens
        return _event("message_start", {"type": "message_start", "message": opened})

    def _said(self, text: str) -> bytes:
        opened = b"" if self._speaking else self._open({"type": "text", "text": ""})
        self._speaking = True
        return opened + self._delta({"type": "text_delta", "text": text})

    def _called(self, call: ToolCall) -> bytes:
        opened = self._open(_call(call.id, call.name, call.arguments) | {"input": {}})
        told = self._delta({"type": "input_json_delta", "partial_json": call.arguments})
        return opened + told + self._stop()

    def _open(self, block: Mapping[str, Any]) -> bytes:
        self._blocks += 1
        told = {"type": "content_block_start", "index": self._blocks - 1, "content_block": block}
        return _event("content_block_start", told)

    def _delta(self, delta: Mapping[str, Any]) -> bytes:
        return _event("content_block_delta", {"type": "content_block_delta", "index": self._blocks - 1, "delta": delta})

    def _close(self) -> bytes:
        """Ends the text that is being told, where one is."""
        speaking, self._speaking = self._speaking, False
        return self._stop() if speaking else b""

    def _stop(self) -> bytes:
        return _event("content_block_stop", {"type": "content_block_stop", "index": self._blocks - 1})


def _event(name: str, told: Any) -> bytes:
    return f"event: {name}\n".encode() + sse.event(told)
