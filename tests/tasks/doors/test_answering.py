"""Answers for readers that can't be told to forget, and those of several children read as one."""

import itertools
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from db.session import Sessions
from tasks import ids
from tasks.doors import answering
from tasks.doors.answering import WHOLE, StreamLost
from tasks.doors.reading import LastStep, Reader, StreamStep
from tasks.jobs import jobs
from tasks.jobs.lifecycle import Status
from tasks.keys import Caller
from tasks.streams import follow
from tasks.streams.events import Delta, Event, Restarted, Resumed, ToolCall
from tasks.streams.stream import START, Cursor, StreamedEntry
from tasks.streams.transcript import Entry
from tests import tables
from tests.support.entries import said, started
from tests.tasks.jobs.test_family import adopt, finish, start, wait

CALL = ToolCall(0, "call_1", "weather", "{}")


def stream_of(*events: Event) -> list[StreamedEntry]:
    return [StreamedEntry(1, Entry(seq, event)) for seq, event in enumerate(events, 1)]


def told(steps: Sequence[StreamedEntry]) -> list[Event]:
    """What a reader is told that is given these."""
    return [step.entry.event for step in answering._told_once(lambda _: iter(steps)) if isinstance(step, StreamedEntry)]


def text(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


def deltas(whole: str, cuts: set[int]) -> list[Event]:
    bounds = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    return [said(whole[at:end]) for at, end in itertools.pairwise(bounds)]


CUTS = st.sets(st.integers(0, 20))


@given(st.text("ab", max_size=20), st.integers(0, 20), CUTS, CUTS)
def test_answer_told_again_is_told_once(whole: str, read: int, first: set[int], again: set[int]) -> None:
    """However it was cut the first time and the second, and however much had been read."""
    events = [started(), *deltas(whole[:read], first), Restarted(2), *deltas(whole, again)]
    assert text(told(stream_of(*events))) == whole


def test_call_told_again_is_told_once() -> None:
    """Also under the other id that it has then."""
    other = ToolCall(0, "call_2", "weather", "{}")
    events = [said("Wait."), CALL, Restarted(2), said("Wa"), said("it."), other, said("!")]
    assert told(stream_of(*events)) == [said("Wait."), CALL, said("!")]


@pytest.mark.parametrize("again", [[said("No")], [CALL], [said("Wa"), CALL]])
def test_answer_that_comes_out_differently_is_lost(again: list[Event]) -> None:
    with pytest.raises(StreamLost):
        told(stream_of(said("Wait."), Restarted(2), *again))


@pytest.mark.parametrize(("status", "lost"), [("succeeded", True), ("failed", False)])
def test_answer_that_comes_out_shorter_is_lost(sessions: Sessions, caller: Caller, status: str, lost: bool) -> None:
    """It would be taken for whole; one that failed is told as that."""
    end = LastStep("2-4", replace(tables.submit(sessions, caller), status=status))
    steps = iter([*stream_of(said("Wait."), Restarted(2), said("Wa")), end])
    with pytest.raises(StreamLost) if lost else nullcontext():
        assert list(answering._told_once(lambda _: steps))[-1] == end
    assert list(steps) == []


def test_attempt_that_goes_on_is_no_news_to_who_has_all() -> None:
    assert told(stream_of(said("a"), Resumed(2), said("b"))) == [said("a"), Resumed(2), said("b")]


def test_reader_that_was_too_slow_goes_on_after_what_it_had() -> None:
    steps, asked = stream_of(said("a"), said("b"), said("c")), list[Cursor]()

    def read(had: Cursor) -> Iterator[StreamStep]:
        asked.append(had)
        yield from steps[had.seq : had.seq + 2]
        if len(asked) == 1:
            raise follow.Overflow

    events = [step.entry.event for step in answering._told_once(read) if isinstance(step, StreamedEntry)]
    assert text(events) == "abc"
    assert asked == [START, steps[1].cursor]


@pytest.fixture
def reader(sessions: Sessions, redis_url: str, client: redis.Redis) -> Iterator[Reader]:
    made = Reader(redis_url, sessions, tables.LEASE_S)
    yield made
    made.stop()


Parent = Callable[[int], tuple[uuid.UUID, list[uuid.UUID]]]


@pytest.fixture
def parent(sessions: Sessions, caller: Caller, monkeypatch: pytest.MonkeyPatch) -> Parent:
    """Makes a job that waits for so many children, which bear the ids that its reader looks for."""

    def make(number: int) -> tuple[uuid.UUID, list[uuid.UUID]]:
        parent_id = tables.running(sessions, caller).job_id
        made = adopt(sessions, parent_id, *range(number))
        with sessions.begin() as session:
            for place, child in enumerate(made):
                session.execute(
                    tables.text("UPDATE jobs SET id = :id WHERE id = :child"),
                    {"id": ids.derived(parent_id, place), "child": child},
                )
        wait(sessions, parent_id)
        return parent_id, [ids.derived(parent_id, place) for place in range(number)]

    return make


def test_children_are_read_as_choices_and_the_parents_end_comes_last(
    sessions: Sessions, caller: Caller, reader: Reader, parent: Parent
) -> None:
    """Read when all has ended: each choice has its own end; the last step is the whole's."""
    parent_id, made = parent(2)
    start(sessions, *made)
    for child in made:
        finish(sessions, child)
    tables.dispatch(sessions, parent_id)
    claim = tables.claim(sessions, parent_id, queue="beta")
    assert claim is not None
    with sessions.begin() as session:
        tables.finish(session, parent_id, 2, claim.checkpoint, tables.Outcome(Status.SUCCEEDED, result={"choices": []}))
    with sessions.begin() as session:
        job = jobs.get(session, caller, parent_id)
    steps = [step for step in answering.steps(reader, caller, job, 2) if isinstance(step[1], LastStep)]
    assert sorted(choice for choice, _ in steps[:-1]) == [0, 1]
    choice, last = steps[-1]
    assert (choice, isinstance(last, LastStep) and last.job.id) == (WHOLE, parent_id)


def test_parent_that_has_no_answer_has_only_an_end(
    sessions: Sessions, caller: Caller, client: redis.Redis, reader: Reader, parent: Parent
) -> None:
    """Its children's words are not told when it had failed before anyone read it."""
    parent_id, _ = parent(2)
    with sessions.begin() as session:
        tables.put(session, parent_id, Status.CANCELLED, finished_at="2026-11-26T00:00:00Z")
    with sessions.begin() as session:
        job = jobs.get(session, caller, parent_id)
    [(choice, last)] = [step for step in answering.steps(reader, caller, job, 2) if step[1] is not None]
    assert choice == WHOLE
    assert isinstance(last, LastStep)
    assert last.job.status == Status.CANCELLED
