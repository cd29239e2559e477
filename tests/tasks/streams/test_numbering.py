"""A stream's numbers across attempts, whatever comes in between: drawn by Hypothesis, on a real Redis."""

from typing import Any, ClassVar

import hypothesis.strategies as st
import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tasks import ids
from tasks.streams import follow, stream, transcript
from tasks.streams.events import Ended
from tasks.streams.follow import Subscription
from tasks.streams.stream import ANY_ATTEMPT, AppendResult, Cursor, StreamedEntry, Writer
from tasks.streams.transcript import Entry, Transcript
from tests.support import entries

LAST = 14  # an attempt's answer is the same text as another's, so its end has the same number


def entry(seq: int) -> Entry:
    return Entry(seq, Ended("succeeded")) if seq == LAST else Entry(seq, entries.said(f"{seq} "), (seq,))


class Attempt:
    """A worker: what it has generated, and what of that it believes to be in Redis."""

    def __init__(self, writer: Writer, so_far: Transcript) -> None:
        self.writer = writer
        self.entries = list(so_far.entries)
        self.published = len(self.entries)
        self.dropped = False
        self.must_republish = False

    def generate(self, count: int) -> None:
        self.entries += [entry(seq) for seq in range(len(self.entries) + 1, LAST + 1)][:count]

    def publish(self, *, newest: bool, unheard: bool) -> AppendResult:
        """As a worker does: on `lost` it asks PostgreSQL whether it is the newest, before it tells everything again."""
        believed, news = self.writer.last, self.entries[self.published :]
        answer = self.writer.append(news)
        if unheard:
            self.writer.last = believed
            answer = self.writer.append(news)
        self.must_republish = answer is AppendResult.LOST and newest
        self.dropped = answer is not AppendResult.OK and not self.must_republish
        self.published = len(self.entries)
        return answer

    def republish(self) -> AppendResult:
        answer = self.writer.open(self.entries)
        self.must_republish, self.dropped = False, answer is not AppendResult.OK
        return answer


class Reader:
    """A client that notes what it gets, and may come back after any number it has seen."""

    def __init__(self, job_id: Any, after: int) -> None:
        self.after = after
        self.subscription = Subscription(job_id, Cursor(ANY_ATTEMPT, after))
        self.seen: list[StreamedEntry] = []

    def take(self, events: list[StreamedEntry]) -> None:
        self.subscription.push(events)
        try:
            while event := self.subscription.next(0):
                self.seen.append(event)
        except follow.EndUntold:  # PostgreSQL has the rest
            rest = range(self.subscription.had.seq + 1, LAST + 1)
            self.seen += [StreamedEntry(self.seen[-1].attempt if self.seen else 0, entry(seq)) for seq in rest]

    @property
    def ended(self) -> bool:
        return bool(self.seen) and isinstance(self.seen[-1].entry.event, Ended)


class Numbering(RuleBasedStateMachine):
    """Attempts that follow each other while older ones linger, a Redis that forgets, readers that come and go."""

    client: ClassVar[redis.Redis]

    @initialize()
    def accept(self) -> None:
        self.client.flushall()
        self.job_id = ids.new()
        self.checkpoint = Transcript()
        self.attempts: list[Attempt] = []
        self.readers: list[Reader] = []
        self.claim()

    @property
    def newest(self) -> Attempt:
        return self.attempts[-1]

    @precondition(lambda self: len(self.attempts) < 5)
    @rule()
    def claim(self) -> None:
        """A worker takes the job; the one before may still be there and not know."""
        writer = Writer(self.client, self.job_id, len(self.attempts) + 1, ttl_s=60)
        self.attempts.append(Attempt(writer, stream.take_over(writer, self.checkpoint)))
        assert len(self.newest.entries) >= len(self.checkpoint.entries)

    @rule(count=st.integers(1, 4), which=st.integers(0, 4), unheard=st.booleans())
    def say(self, count: int, which: int, unheard: bool) -> None:
        """Whichever attempt goes on generating; only the newest is ever taken."""
        attempt = self.attempts[which % len(self.attempts)]
        if attempt.dropped or attempt.must_republish or len(attempt.entries) == LAST:
            return
        newest = attempt is self.newest
        attempt.generate(count)
        answer = attempt.publish(newest=newest, unheard=unheard)
        assert answer in ((AppendResult.OK, AppendResult.LOST) if newest else (AppendResult.FENCED, AppendResult.LOST))

    @rule(which=st.integers(0, 4))
    def republish(self, which: int) -> None:
        """What was the newest attempt when it asked may no longer be."""
        attempt = self.attempts[which % len(self.attempts)]
        if attempt.must_republish:
            assert attempt.republish() is (AppendResult.OK if attempt is self.newest else AppendResult.FENCED)

    @rule()
    def keep(self) -> None:
        """The newest attempt's worker writes a checkpoint."""
        self.checkpoint = Transcript(list(self.newest.entries))

    @rule()
    def forget(self) -> None:
        """Redis loses everything; not also between an older attempt's question and its answer."""
        self.client.flushall()
        for older in self.attempts[:-1]:
            older.dropped, older.must_republish = older.dropped or older.must_republish, False

    @rule(back_to=st.integers(0, LAST), which=st.integers(0, 9))
    def come(self, back_to: int, which: int) -> None:
        """A reader from the start, or one that resumes after something another has seen."""
        known = self.readers[which % len(self.readers)].seen if self.readers else []
        after = known[back_to % len(known)].entry.seq if known else 0
        self.readers.append(Reader(self.job_id, after))

    @rule(which=st.integers(0, 9))
    def read(self, which: int) -> None:
        if self.readers:
            reader = self.readers[which % len(self.readers)]
            reader.take([] if reader.ended else stream.read(self.client, self.job_id))

    @invariant()
    def readers_have_no_gap_and_no_repetition(self) -> None:
        for reader in self.readers:
            wanted = [entry(seq) for seq in range(reader.after + 1, reader.after + 1 + len(reader.seen))]
            assert [event.entry for event in reader.seen] == wanted

    @invariant()
    def nothing_old_comes_after_something_new(self) -> None:
        for reader in self.readers:
            attempts = [event.attempt for event in reader.seen]
            assert attempts == sorted(attempts)

    @invariant()
    def stream_has_no_gap(self) -> None:
        events = stream.read(self.client, self.job_id)
        assert len(transcript.fold(event.entry for event in events).entries) == max(
            (event.entry.seq for event in events), default=0
        )

    def teardown(self) -> None:
        """The newest attempt comes to its end, and so does every reader."""
        if not hasattr(self, "attempts"):
            return
        self.newest.generate(LAST)
        if not self.newest.must_republish and self.newest.published < LAST:
            self.newest.publish(newest=True, unheard=False)
        if self.newest.must_republish:
            self.newest.republish()
        events = stream.read(self.client, self.job_id)
        for reader in self.readers:
            if events and not reader.ended and reader.after < LAST:
                reader.take(events)
                assert reader.ended
        self.readers_have_no_gap_and_no_repetition()


def test_numbers_have_no_gap_and_no_repetition_whatever_happens(client: redis.Redis) -> None:
    """Take-overs, answers that were lost, FLUSHALL, lingering attempts, readers that resume anywhere."""
    machine = type("OnRedis", (Numbering,), {"client": client})
    few = settings(
        max_examples=40,
        stateful_step_count=40,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    run_state_machine_as_test(machine, settings=few)
