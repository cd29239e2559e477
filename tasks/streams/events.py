"""What can happen to a job, as its stream tells it: one frozen type for each event, one `encode`, one `decode`."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tasks.limits.spent import NOTHING, Spent
from tasks.models.logprobs import Logprob


@dataclass(frozen=True, slots=True)
class Started:
    """The job's first event. `prompt_tokens` is the length of the whole prompt, spent once an answer has begun.

    `lost` says that readers may have had events which nobody has kept: they were lost with Redis and an older attempt.
    """

    type: ClassVar[str] = "started"
    attempt: int
    worker: str
    prompt_tokens: int = 0
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Resumed:
    """A later attempt goes on after what was streamed; `lost` as in `Started`."""

    type: ClassVar[str] = "resumed"
    attempt: int
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Restarted:
    """What was streamed before counts no more: the answer is told anew."""

    type: ClassVar[str] = "restarted"
    attempt: int


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total`, of whatever the stage counts. `spent` is what the prompt or the texts have cost by then."""

    type: ClassVar[str] = "progress"
    done: int
    total: int
    spent: Spent = NOTHING


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of the answer. `spent` is its own; `item` counts the pieces of an answer between tools' calls."""

    type: ClassVar[str] = "delta"
    text: str
    spent: Spent = NOTHING
    item: int = 0
    logprobs: tuple[Logprob, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The answer asks for a function: `arguments` is JSON as the model wrote it. `spent` is its own."""

    type: ClassVar[str] = "tool_call"
    item: int
    id: str
    name: str
    arguments: str
    spent: Spent = NOTHING


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a function of the server answered to the call with this id, as a text; `ok` False where it failed."""

    type: ClassVar[str] = "tool_result"
    id: str
    name: str
    content: str
    ok: bool = True


@dataclass(frozen=True, slots=True)
class Question:
    """The question that is looked for and answered: as it was asked, or made of it and the conversation before it."""

    type: ClassVar[str] = "question"
    question: str


@dataclass(frozen=True, slots=True)
class Passages:
    """What a question's answer rests on, each passage as JSON has it."""

    type: ClassVar[str] = "passages"
    passages: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """The job's last event: how it ended, with a result or an error (code, message), and what it spent in all."""

    type: ClassVar[str] = "ended"
    status: str
    result: dict[str, Any] | None = None
    spent: Spent = NOTHING
    error: tuple[str, str] | None = None
    progress: tuple[int, int] | None = None
    started_at: dt.datetime | None = None
    finished_at: dt.datetime | None = None


Event = Started | Resumed | Restarted | Progress | Delta | ToolCall | ToolResult | Question | Passages | Ended


def encode(event: Event) -> dict[str, Any]:
    """The event as JSON has it; what has its usual value is left out."""
    match event:
        case Delta():
            plain: dict[str, Any] = {"text": event.text}
            if event.item:
                plain["item"] = event.item
            if event.logprobs:
                plain["logprobs"] = [each.plain() for each in event.logprobs]
        case Progress():
            plain = {"done": event.done, "total": event.total}
        case Started():
            plain = {"attempt": event.attempt, "worker": event.worker, "prompt_tokens": event.prompt_tokens}
        case Resumed() | Restarted():
            plain = {"attempt": event.attempt}
        case Question():
            plain = {"question": event.question}
        case Passages():
            plain = {"passages": event.passages}
        case ToolCall():
            plain = {"item": event.item, "id": event.id, "name": event.name, "arguments": event.arguments}
        case ToolResult():
            plain = {"id": event.id, "name": event.name, "content": event.content, "ok": event.ok}
        case Ended():
            plain = _encode_end(event)
    if isinstance(event, Started | Resumed) and event.lost:
        plain["lost"] = True
    if isinstance(event, Delta | Progress | ToolCall | Ended) and event.spent != NOTHING:
        plain["spent"] = _encode_spent(event.spent)
    return {"type": event.type, **plain}


def decode(told: Any) -> Event:
    """The inverse of `encode`; also reads what versions before this one wrote. `ValueError` on anything else."""
    try:
        return _decode_old(*told[:3]) if isinstance(told, list) else _DECODERS[told["type"]](told)
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"not an event: {str(told)[:100]}") from error


def _encode_spent(spent: Spent) -> list[int]:
    return [spent.prompt, spent.completion, spent.embedding, spent.cached]


def _spent(told: Mapping[str, Any]) -> Spent:
    return Spent(*told["spent"]) if "spent" in told else NOTHING


def _encode_end(end: Ended) -> dict[str, Any]:
    return {
        "status": end.status,
        "result": end.result,
        "error": end.error,
        "progress": end.progress,
        "started_at": end.started_at and end.started_at.isoformat(),
        "finished_at": end.finished_at and end.finished_at.isoformat(),
    }


def _decode_end(told: Mapping[str, Any]) -> Ended:
    return Ended(
        status=told["status"],
        result=told["result"],
        spent=_spent(told),
        error=_pair(told["error"]),
        progress=_pair(told["progress"]),
        started_at=_moment(told["started_at"]),
        finished_at=_moment(told["finished_at"]),
    )


def _decode_delta(told: Mapping[str, Any]) -> Delta:
    logprobs = tuple(Logprob.from_plain(*each) for each in told.get("logprobs", ()))
    return Delta(told["text"], _spent(told), told.get("item", 0), logprobs)


_DECODERS: dict[str, Callable[[Mapping[str, Any]], Event]] = {
    Started.type: lambda told: Started(told["attempt"], told["worker"], told["prompt_tokens"], told.get("lost", False)),
    Resumed.type: lambda told: Resumed(told["attempt"], told.get("lost", False)),
    Restarted.type: lambda told: Restarted(told["attempt"]),
    Progress.type: lambda told: Progress(told["done"], told["total"], _spent(told)),
    Delta.type: _decode_delta,
    ToolCall.type: lambda told: ToolCall(told["item"], told["id"], told["name"], told["arguments"], _spent(told)),
    ToolResult.type: lambda told: ToolResult(told["id"], told["name"], told["content"], told["ok"]),
    Question.type: lambda told: Question(told["question"]),
    Passages.type: lambda told: Passages(told["passages"]),
    Ended.type: _decode_end,
}


# What came before: `[type, data, tokens]`, in Redis for as long as a stream lives, in `job_outputs.entries` for ever.
# `data` is what clients saw; an end's type was its status, and its data the job object of the API.
_OLD_ENDS = ("succeeded", "failed", "cancelled", "expired")


def _decode_old(type: str, data: Mapping[str, Any], tokens: int) -> Event:
    if type in _OLD_ENDS:
        return _decode_old_end(type, data)
    if type == Started.type:
        return Started(data["attempt"], data["worker"], tokens)
    if type == Progress.type:
        # Its tokens don't count: an ingest was charged for them already, and nothing tells whose progress this is.
        return Progress(data["done"], data["total"])
    if type == Delta.type:
        return Delta(data["text"], Spent(completion=tokens))
    return _DECODERS[type](data)


def _decode_old_end(status: str, job: Mapping[str, Any]) -> Ended:
    usage, error, progress = job["usage"] or {}, job["error"], job["progress"]
    return Ended(
        status=status,
        result=job["result"],
        spent=Spent(*(usage.get(f"{what}_tokens", 0) for what in ("prompt", "completion", "embedding"))),
        error=(error["code"], error["message"]) if error else None,
        progress=(progress["done"], progress["total"]) if progress else None,
        started_at=_moment(job["started_at"]),
        finished_at=_moment(job["finished_at"]),
    )


def _moment(told: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(told) if told else None


def _pair(told: Sequence[Any] | None) -> tuple[Any, Any] | None:
    return (told[0], told[1]) if told else None
