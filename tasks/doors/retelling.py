"""The steps of a job for a reader who numbers what it tells: it needs all entries, from the first on."""

from collections.abc import Iterator

from tasks.doors.answering import WHOLE, Step
from tasks.doors.reading import LastStep, Reader, StreamStep
from tasks.jobs.view import JobView
from tasks.keys import Caller
from tasks.streams import follow
from tasks.streams.stream import START, Cursor, StreamedEntry


def steps(reader: Reader, caller: Caller, job: JobView) -> Iterator[Step]:
    """What happens to a job, to its end, which is the last step, of the whole.

    After a `Restarted` with the number 0 the entries come anew from the first on: what they told before counts no more.
    Yields a None when a second went by without news. Raises what `Reader.events` raises, but resumes by itself.
    """
    had = START
    while True:
        try:
            for step in _read(reader, caller, job, had):
                if isinstance(step, StreamedEntry):
                    had = step.cursor
                yield (WHOLE if isinstance(step, LastStep) else 0), step
        except follow.Overflow:
            continue
        return


def _read(reader: Reader, caller: Caller, job: JobView, had: Cursor) -> Iterator[StreamStep]:
    if had == START and not job.ended:
        return reader.follow(caller, job)
    return reader.events(caller, job.id, had) or iter(())
