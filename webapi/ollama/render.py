"""Answers in Ollama's words, whole and line by line."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dialects import sse
from dialects.openai.render import logprobs
from tasks import times
from tasks.jobs.lifecycle import Status
from tasks.jobs.view import JobView
from tasks.models.logprobs import Logprob
from tasks.queues.places import Wait
from tasks.streams.events import Delta, Event, ToolCall
from webapi.ollama import errors
from webapi.ollama.answers import OllamaLogprob, OllamaToolCall, OllamaTop


@dataclass(slots=True)
class Lines:
    """`calls.Rendering`: NDJSON. `model` is what was asked for; `chats` says messages, else responses."""

    model: str
    chats: bool
    mimetype: str = "application/x-ndjson"

    def event(self, choice: int, event: Event) -> bytes:
        del choice
        match event:
            case Delta():
                return _line(self._piece(event.text, told=event.logprobs))
            case ToolCall():
                return _line(self._piece("", [_call(event.id, event.name, event.arguments)]))
        return b""

    def choice_ended(self, choice: int, job: JobView) -> bytes:
        del choice, job
        return b""

    def ended(self, job: JobView) -> bytes:
        return _line(self._last(job, "") if job.status == Status.SUCCEEDED else errors.of(job))

    def waiting(self, wait: Wait | None) -> bytes:
        """A space before the next line: no reader of JSON sees it, and every proxy does."""
        del wait
        return b" "

    def failed(self, code: str, message: str) -> bytes:
        del code
        return _line({"error": message})

    def whole(self, job: JobView) -> dict[str, Any]:
        """The answer of a job that succeeded, at once."""
        result: Mapping[str, Any] = job.result or {}
        message = result.get("message", {})
        calls = [_call(call["id"], call["name"], call["arguments"]) for call in message.get("tool_calls", ())]
        text = message["content"] if "content" in message else result["text"]
        return self._last(job, text, calls, logprobs.of(dict(result)))

    def loaded(self) -> dict[str, Any]:
        """Where nothing is asked: Ollama would load the model now."""
        return self._piece("") | {"done": True, "done_reason": "load"}

    def _last(
        self, job: JobView, text: str, calls: Sequence[OllamaToolCall] = (), told: Sequence[Logprob] = ()
    ) -> dict[str, Any]:
        result: Mapping[str, Any] = job.result or {}
        done = {
            "done": True,
            "done_reason": "length" if result.get("finish_reason") == "length" else "stop",
            **took(job),
            "prompt_eval_count": job.spent.prompt,
            "eval_count": job.spent.completion,
            "eval_duration": _ns(job.started_at, job.finished_at),
        }
        return self._piece(text, calls, told) | done

    def _piece(self, text: str, calls: Sequence[OllamaToolCall] = (), told: Sequence[Logprob] = ()) -> dict[str, Any]:
        piece: dict[str, Any] = {"model": self.model, "created_at": times.show(dt.datetime.now(dt.UTC))}
        if self.chats:
            piece["message"] = {"role": "assistant", "content": text}
            if calls:
                piece["message"]["tool_calls"] = list(calls)
        else:
            piece["response"] = text
        piece["done"] = False
        if told:
            piece["logprobs"] = [_token(each) for each in told]
        return piece


def took(job: JobView) -> dict[str, int]:
    """How long it all took, and how long the job waited for a worker: in nanoseconds."""
    return {
        "total_duration": _ns(job.created_at, job.finished_at),
        "load_duration": _ns(job.created_at, job.started_at),
    }


def cut(vectors: NDArray[np.float32], size: int | None) -> NDArray[np.float32]:
    """The vectors (n, d), of so many dimensions where that is fewer, and of length 1 then too."""
    if size is None or size >= vectors.shape[1]:
        return vectors
    vectors = vectors[:, :size]
    return np.ascontiguousarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


def _ns(since: dt.datetime | None, until: dt.datetime | None) -> int:
    return 0 if since is None or until is None else max(0, (until - since) // dt.timedelta(microseconds=1)) * 1000


def _call(id: str, name: str, arguments: str) -> OllamaToolCall:
    """Ollama's clients read arguments as an object."""
    try:
        read = json.loads(arguments)
    except ValueError:
        read = arguments
    return {"id": id, "function": {"name": name, "arguments": read if isinstance(read, dict) else {"value": read}}}


def _token(told: Logprob) -> OllamaLogprob:
    return {**_top(told), "top_logprobs": [_top(each) for each in told.top]}


def _top(told: Logprob) -> OllamaTop:
    return {"token": told.token, "logprob": told.logprob, "bytes": list(told.piece)}


def _line(value: Any) -> bytes:
    return sse.data(value) + b"\n"
