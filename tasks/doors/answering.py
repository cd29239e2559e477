"""The steps of a whole answer: of one job, or of a job and its children, each of which gives one of several answers."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from tasks import errors, ids
from tasks.doors.reading import LastStep, Reader, StreamStep
from tasks.jobs.lifecycle import Status
from tasks.jobs.view import JobView
from tasks.keys import Caller
from tasks.queues.places import Wait
from tasks.streams import follow
from tasks.streams.events import Delta, Event, Restarted, ToolCall
from tasks.streams.stream import START, Cursor

WHOLE = -1  # stands for a choice where the step is the whole answer's
_TICK_S = 1.0
_DIFFERS = "a part of the answer was lost and came out differently; ask again"

Step = tuple[int, StreamStep]  # the choice, counted from 0, and what happened to it


class StreamLost(errors.ForebayError):
    """What was told was lost before it was kept, and comes out differently now: it can't be taken back."""

    code = "stream_lost"


def steps(reader: Reader, caller: Caller, job: JobView, choices: int) -> Iterator[Step]:
    """What happens to a job, to its end, with that of each of its `choices` children where it has any.

    A choice's own end is a step of it; the last step is the whole's. Yields a None when a second went by without news.
    Raises `StreamLost`, and what `Reader.events` raises, but resumes by itself.
    """
    if not choices:
        for step in _own(reader, caller, job):
            yield 0, step
            if isinstance(step, LastStep):
                yield WHOLE, step
        return
    parent = _own(reader, caller, job)
    last = None
    for step in parent:
        if isinstance(step, LastStep):
            last = step
            break
        if step is None or isinstance(step, Wait):
            yield 0, step
        else:  # the children are there
            break
    if last is None or last.job.result is not None:
        yield from _children(reader, caller, job, choices)
    for step in [last] if last else parent:
        if step is None or isinstance(step, LastStep):
            yield WHOLE, step


def _own(reader: Reader, caller: Caller, job: JobView) -> Iterator[StreamStep]:
    fresh = not job.ended

    def read(had: Cursor) -> Iterator[StreamStep]:
        if fresh and had == START:
            return reader.follow(caller, job)
        return reader.events(caller, job.id, had) or iter(())

    return _told_once(read)


def _children(reader: Reader, caller: Caller, job: JobView, choices: int) -> Iterator[Step]:
    """The steps of the children, as they come, read by this one thread."""
    bell = threading.Event()
    open_ = {choice: _child(reader, caller, job, choice, bell) for choice in range(choices)}
    while open_:
        bell.clear()
        silent = True
        for choice, told in list(open_.items()):
            for step in told:
                if step is None:
                    break
                silent = False
                yield choice, step
            else:
                del open_[choice]
        if silent and not bell.wait(_TICK_S):
            yield WHOLE, None


def _child(reader: Reader, caller: Caller, job: JobView, choice: int, bell: threading.Event) -> Iterator[StreamStep]:
    child_id = ids.derived(job.id, choice)
    return _told_once(lambda had: reader.events(caller, child_id, had, bell) or iter(()))


def _told_once(read: Callable[[Cursor], Iterator[StreamStep]]) -> Iterator[StreamStep]:
    """A job's steps for a reader that can't be told to forget.

    Where the reader was too slow for them, they are read on from its place. Where the stream was lost they are read
    again from the beginning, and those that the reader has are left out.
    """
    had, telling = START, _Telling()
    while True:
        try:
            for step in read(had):
                if step is None or isinstance(step, Wait | LastStep):
                    if isinstance(step, LastStep):
                        telling.require_whole(step.job)
                    yield step
                    continue
                had = step.cursor
                news = telling.news(step.entry.event)
                if news is not None:
                    yield replace(step, entry=replace(step.entry, event=news))
        except follow.Overflow:
            continue
        return


@dataclass(slots=True)
class _Telling:
    """What of an answer was told, and how much of it is told again."""

    told: list[str] = field(default_factory=list)  # of the answer, as texts
    others: list[Event] = field(default_factory=list)
    again: str = ""  # what was told and hasn't been repeated yet, as one text

    def news(self, event: Event) -> Event | None:
        """What of it the reader hasn't been told. Raises `StreamLost` where it was told something else."""
        if isinstance(event, Restarted):
            self.again = "".join(self.told)
            return None
        if isinstance(event, Delta | ToolCall):
            return self._repeated(event) if self.again else self._new(event, _text(event))
        if event in self.others:
            return None
        self.others.append(event)
        return event

    def require_whole(self, ended: JobView) -> None:
        """Raises `StreamLost` for an answer that is shorter than what the reader was told of it."""
        if self.again and ended.status == Status.SUCCEEDED:
            raise StreamLost(_DIFFERS)

    def _new(self, event: Event, text: str) -> Event:
        self.told.append(text)
        return event

    def _repeated(self, event: Delta | ToolCall) -> Event | None:
        text = _text(event)
        if self.again.startswith(text):
            self.again = self.again[len(text) :]
            return None
        if not isinstance(event, Delta) or not text.startswith(self.again):
            raise StreamLost(_DIFFERS)
        left = text[len(self.again) :]
        self.again = ""
        # How likely its tokens were isn't known of a part.
        return self._new(replace(event, text=left, logprobs=()), left)


def _text(event: Event) -> str:
    match event:
        case Delta():
            return event.text
        case ToolCall():
            return f"\0{event.name}\0{event.arguments}"
    return ""
