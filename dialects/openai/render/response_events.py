"""The events of a response as OpenAI's clients read them, each with its number.

They are made of what never changes of a job and of its numbered entries, in their order, and of nothing else: so every
process that tells them numbers them alike, during the run and after it, from Redis and from PostgreSQL.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dialects.openai.render import responses as rendered
from tasks.jobs import responses
from tasks.jobs.lifecycle import Status
from tasks.jobs.view import JobView
from tasks.models.logprobs import Logprob
from tasks.streams.events import Delta, Event, Passages, Question, Resumed, Started, ToolCall
from tasks.streams.transcript import Transcript

Told = dict[str, Any]


@dataclass(slots=True)
class Telling:
    """One reading of a response's entries, from the first on.

    `next` is the number that the next event has. Where entries were lost with Redis, `lost_from` is the number of the
    first event after them: an earlier reader may have got another event under that number, or under a later one.
    """

    job: JobView
    said: Mapping[str, Any]
    next: int = 0
    lost_from: int | None = None
    items: list[Told] = field(default_factory=list)  # that are whole
    _begun: bool = False
    _text: list[str] | None = None  # of the message under way
    _message_id: str = ""
    _logprobs: list[Told] = field(default_factory=list)
    _textless: list[Told] = field(default_factory=list)  # logprobs of tokens whose text comes with a later one
    _question: str = ""

    def opening(self) -> list[Told]:
        """What is told before the first entry."""
        background = self.said.get("background", False)
        status = Status.QUEUED if background else Status.RUNNING
        told = [self._of("response.created", response=self._unended(status))]
        if background:
            told.append(self._of("response.queued", response=self._unended(status)))
        return told

    def event(self, event: Event) -> list[Told]:
        """What an entry tells; an `Ended` is told by `ended`."""
        told: list[Told] = []
        if isinstance(event, Started | Resumed) and event.lost and self.lost_from is None:
            self.lost_from = self.next
        if not self._begun:
            self._begun = True
            told.append(self._of("response.in_progress", response=self._unended(Status.RUNNING)))
        if isinstance(event, Question):
            self._question = event.question
        elif isinstance(event, Passages):
            told += self._search(event.passages)
        elif isinstance(event, Delta):
            told += self._delta(event)
        elif isinstance(event, ToolCall):
            told += self._close("completed")
            told += self._call(event)
        return told

    def ended(self, job: JobView) -> list[Told]:
        """The rest: what is under way is closed, and the response told as it ended.

        What the answer rests on was found by its worker: the result has it, and a call or a broken off answer none.
        """
        state = rendered.state(job)
        told: list[Told] = []
        said = self._text is not None or any(item["type"] != "file_search_call" for item in self.items)
        if job.status == Status.SUCCEEDED and not said:
            told += self._open()
        noted = (job.result or {}).get("annotations", ())
        told += self._close("completed" if state == "completed" else "incomplete", noted)
        output = None if job.result is not None else self.items
        response = rendered.response(job, self.said, output)
        return [*told, self._of(f"response.{state}", response=response)]

    def _delta(self, delta: Delta) -> Iterator[Told]:
        self._textless += self._likely(delta.logprobs)
        if not delta.text:
            return
        if self._text is None:
            yield from self._open()
        assert self._text is not None
        self._text.append(delta.text)
        likely, self._textless = self._textless, []
        self._logprobs += likely
        yield self._in_part("response.output_text.delta", delta=delta.text, logprobs=likely)

    def _likely(self, told: Sequence[Logprob]) -> list[Told]:
        return rendered.logprobs(told) if rendered.wants_logprobs(self.said) else []

    def _open(self) -> list[Told]:
        self._text, self._logprobs = [], []
        item = {**responses.message(self.job.id, self._place, "", "in_progress"), "content": []}
        self._message_id = item["id"]
        part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        return [
            self._of("response.output_item.added", output_index=self._place, item=item),
            self._in_part("response.content_part.added", part=part),
        ]

    def _close(self, status: str, noted: Sequence[Told] = ()) -> list[Told]:
        """The message under way, if there is one, is whole."""
        if self._text is None:
            return []
        text = "".join(self._text)
        self._logprobs += self._textless
        self._textless = []
        item = responses.message(self.job.id, self._place, text, status, noted)
        part = item["content"][0]
        part["logprobs"] = self._logprobs
        told = [
            *self._noted(noted),
            self._in_part("response.output_text.done", text=text, logprobs=self._logprobs),
            self._in_part("response.content_part.done", part=part),
            self._of("response.output_item.done", output_index=self._place, item=item),
        ]
        self.items.append(item)
        self._text = None
        return told

    def _noted(self, annotations: Sequence[Told]) -> Iterator[Told]:
        for place, annotation in enumerate(annotations):
            type = "response.output_text.annotation.added"
            yield self._in_part(type, annotation_index=place, annotation=annotation)

    def _search(self, passages: Sequence[Told]) -> list[Told]:
        """A search that was made before the answer: it is told at once, as it is over."""
        place, done = self._place, responses.file_search(self.job.id, self._place, self._question)
        if rendered.wants_results(self.said):
            done["results"] = rendered.results(passages)
        begun = responses.file_search(self.job.id, place, self._question, "in_progress")
        steps = [f"response.file_search_call.{step}" for step in ("in_progress", "searching", "completed")]
        told = [
            self._of("response.output_item.added", output_index=place, item=begun),
            *(self._of(step, item_id=done["id"], output_index=place) for step in steps),
            self._of("response.output_item.done", output_index=place, item=done),
        ]
        self.items.append(done)
        return told

    def _call(self, call: ToolCall) -> list[Told]:
        place = self._place
        item = responses.function_call(
            self.job.id, place, {"id": call.id, "name": call.name, "arguments": call.arguments}
        )
        of = {"item_id": item["id"], "output_index": place}
        added = {**item, "arguments": "", "status": "in_progress"}
        done = {"name": call.name, "arguments": call.arguments}
        told = [
            self._of("response.output_item.added", output_index=place, item=added),
            self._of("response.function_call_arguments.delta", **of, delta=call.arguments),
            self._of("response.function_call_arguments.done", **of, **done),
            self._of("response.output_item.done", output_index=place, item=item),
        ]
        self.items.append(item)
        return told

    @property
    def _place(self) -> int:
        return len(self.items)

    def _in_part(self, type: str, **members: Any) -> Told:
        """An event of the message under way, which has one part."""
        return self._of(type, item_id=self._message_id, output_index=self._place, content_index=0, **members)

    def _of(self, type: str, **members: Any) -> Told:
        told = {"type": type, "sequence_number": self.next, **members}
        self.next += 1
        return told

    def _unended(self, status: Status) -> Mapping[str, Any]:
        job = replace(self.job, status=status, result=None, error=None, finished_at=None)
        return rendered.response(job, self.said)


def error(number: int, code: str, message: str) -> Told:
    """What is told last where a stream breaks off."""
    return {"type": "error", "sequence_number": number, "code": code, "message": message, "param": None}


def output(job: JobView, said: Mapping[str, Any], so_far: Transcript) -> list[Told] | None:
    """What came of a response that ended without a result; None where it has one, or hasn't ended."""
    if job.result is not None or not job.ended:
        return None
    telling = Telling(job, said)
    for _ in _each(telling, so_far):
        pass
    telling.ended(job)
    return telling.items


def _each(telling: Telling, so_far: Transcript) -> Iterable[Told]:
    for entry in so_far.entries:
        yield from telling.event(entry.event)
