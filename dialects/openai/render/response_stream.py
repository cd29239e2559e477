"""A response's events as they are sent: from the first, or after one that a reader has."""

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import InitVar, dataclass, field
from typing import Any

from dialects import sse
from dialects.openai.render import chat, response_events
from dialects.openai.render.response_events import Telling, Told
from tasks.doors.answering import StreamLost
from tasks.jobs.view import JobView
from tasks.queues.places import Wait
from tasks.streams.events import Event, Restarted

_LOST = "what was told after that was lost and came out differently; read the response from the beginning"


@dataclass(slots=True)
class Stream:
    """`calls.Rendering` of a response, given all its entries from the first on, and `Restarted` where they come anew.

    Events up to the number `after` aren't sent: the reader has them. Raises `StreamLost` where it was told something
    else under the numbers that it has.
    """

    job: InitVar[JobView]
    said: InitVar[Mapping[str, Any]]
    after: int = -1
    mimetype: str = "text/event-stream"
    _telling: Telling = field(init=False)
    _read: int = 0  # how many events there were
    # Their digests: entries may come anew of a job that runs, and a reader may have them by the hundred thousand.
    _known: "array[int] | None" = None

    def __post_init__(self, job: JobView, said: Mapping[str, Any]) -> None:
        self._telling = Telling(job, said)
        self._known = None if job.ended else array("q")

    def opening(self) -> bytes:
        """What is told at once, before anything has happened."""
        return self._sent(self._telling.opening())

    def event(self, choice: int, event: Event) -> bytes:
        del choice
        if isinstance(event, Restarted):
            self._telling = Telling(self._telling.job, self._telling.said)
            return self.opening()
        told = self._sent(self._telling.event(event))
        self._require_unlost()
        return told

    def choice_ended(self, choice: int, job: JobView) -> bytes:
        del choice, job
        return b""

    def ended(self, job: JobView) -> bytes:
        told = self._sent(self._telling.ended(job))
        if max(self.after + 1, self._read) > self._telling.next:
            message = f"the response ended with event {self._telling.next - 1}; if a later one was told, it was lost"
            raise StreamLost(f"{message}: read the response from the beginning")
        return told

    def waiting(self, wait: Wait | None) -> bytes:
        return sse.comment(chat.waits(wait))

    def failed(self, code: str, message: str) -> bytes:
        number = max(self.after + 1, self._read)
        told = response_events.error(number, code, message)
        return _frame(told, sse.data(told))

    def _require_unlost(self) -> None:
        lost_from = self._telling.lost_from
        if lost_from is not None and lost_from <= self.after:
            raise StreamLost(_LOST)

    def _sent(self, told: Iterable[Told]) -> bytes:
        return b"".join(self._news(each) for each in told)

    def _news(self, told: Told) -> bytes:
        """The event as it is sent, unless the reader has it."""
        number = told["sequence_number"]
        if self._known is None and number <= self.after:
            self._read = number + 1
            return b""
        data = sse.data(told)
        if number < self._read:
            if self._known is None or self._known[number] != hash(data):
                raise StreamLost(_LOST)
            return b""
        if self._known is not None:
            self._known.append(hash(data))
        self._read = number + 1
        return b"" if number <= self.after else _frame(told, data)


def _frame(told: Told, data: bytes) -> bytes:
    return f"event: {told['type']}\ndata: ".encode() + data + b"\n\n"
