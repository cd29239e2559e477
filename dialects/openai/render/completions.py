"""A generation as `text_completion`, whole or in pieces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dialects import sse
from dialects.openai import errors
from dialects.openai.answers import Completion, CompletionChoice
from dialects.openai.render import chat, logprobs, usage
from tasks import ids
from tasks.jobs.lifecycle import Status
from tasks.jobs.view import JobView
from tasks.queues.places import Wait
from tasks.streams.events import Delta, Event, Started

PREFIX = "cmpl-"


@dataclass(frozen=True, slots=True)
class Echo:
    """What stands before each answer: the prompt it answers, of which each has `n` answers; or nothing."""

    prompts: Sequence[str] = ()
    n: int = 1

    def before(self, choice: int) -> str:
        return self.prompts[choice // self.n] if self.prompts else ""


def completion(job: JobView, echo: Echo, made_by: str | None = None) -> Completion:
    """The answer of a job that succeeded; `made_by` is the model's fingerprint, where it is known."""
    result = job.result or {}
    choices = [_choice(place, one, echo.before(place)) for place, one in enumerate(result.get("choices", [result]))]
    return _body(job, choices, made_by) | {"usage": usage.of(job)}  # type: ignore[return-value]


def _choice(index: int, result: Mapping[str, Any], before: str) -> CompletionChoice:
    told = logprobs.completion(logprobs.of(dict(result)), len(before))
    text = before + result["text"]
    return {"index": index, "text": text, "finish_reason": result["finish_reason"], "logprobs": told}


def _body(job: JobView, choices: list[Any], made_by: str | None) -> dict[str, Any]:
    return {
        "id": ids.show(job.id, PREFIX),
        "object": "text_completion",
        "created": chat.created(job),
        "model": job.model,
        "choices": choices,
        **({} if made_by is None else {"system_fingerprint": made_by}),
    }


@dataclass(slots=True)
class Chunks:
    """`calls.Rendering`: `job` is as it was when it was accepted."""

    job: JobView
    echo: Echo
    include_usage: bool = False
    made_by: str | None = None
    mimetype: str = "text/event-stream"
    _told: dict[int, int] = field(default_factory=dict)  # how many characters each choice has by now

    def event(self, choice: int, event: Event) -> bytes:
        match event:
            case Started():
                before = self._begin(choice)
                return self._chunk(choice, before) if before else b""
            case Delta():
                before = self._begin(choice)
                offset = self._told[choice]
                self._told[choice] += len(event.text)
                return self._chunk(choice, before + event.text, logprobs.completion(event.logprobs, offset))
        return b""

    def choice_ended(self, choice: int, job: JobView) -> bytes:
        if job.status != Status.SUCCEEDED or job.result is None:
            return b""
        return self._chunk(choice, self._begin(choice), finish_reason=job.result["finish_reason"])

    def ended(self, job: JobView) -> bytes:
        if job.status != Status.SUCCEEDED:
            failed = errors.Failed(job)
            return sse.event(errors.of(failed.code, str(failed), failed.status))
        last = sse.event(_body(self.job, [], self.made_by) | {"usage": usage.of(job)}) if self.include_usage else b""
        return last + b"data: [DONE]\n\n"

    def waiting(self, wait: Wait | None) -> bytes:
        return sse.comment(chat.waits(wait))

    def failed(self, code: str, message: str) -> bytes:
        return sse.event(errors.of(code, message))

    def _begin(self, choice: int) -> str:
        """What stands before the choice's first piece; nothing before the others."""
        if choice in self._told:
            return ""
        before = self.echo.before(choice)
        self._told[choice] = len(before)
        return before

    def _chunk(self, choice: int, text: str, told: Any = None, finish_reason: str | None = None) -> bytes:
        part = {"index": choice, "text": text, "logprobs": told, "finish_reason": finish_reason}
        body = _body(self.job, [part], self.made_by)
        return sse.event(body | {"usage": None} if self.include_usage else body)
