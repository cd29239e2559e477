"""The stream: the three answers of the append, and what readers get."""

import json
import time

import pytest
import redis

from tasks import ids
from tasks.streams import stream
from tasks.streams.events import Ended
from tasks.streams.stream import AppendResult, Writer
from tasks.streams.transcript import Entry, Transcript
from tests.support.entries import said, started

TTL_S = 60


def entries(first: int, last: int) -> list[Entry]:
    return [Entry(seq, said(f"{seq} "), (seq,)) for seq in range(first, last + 1)]


@pytest.fixture
def writer(client: redis.Redis) -> Writer:
    return Writer(client, ids.new(), 1, TTL_S)


def numbers(writer: Writer) -> list[str]:
    return [event.id for event in stream.read(writer.client, writer.job_id)]


def test_entries_are_read_as_they_were_written(writer: Writer) -> None:
    """Event and token ids survive, text of any script too."""
    odd = Entry(1, said('é日本🙂\x00"\n', 3), (5, 6, 7))
    assert writer.open([odd]) is AppendResult.OK
    assert [event.entry for event in stream.read(writer.client, writer.job_id)] == [odd]


def test_append_follows_the_last(writer: Writer) -> None:
    """Groups of entries come out in order, numbered from 1, the opening uncounted."""
    writer.open()
    assert writer.append(entries(1, 2)) is AppendResult.OK
    assert writer.append(entries(3, 3)) is AppendResult.OK
    assert numbers(writer) == ["1-1", "1-2", "1-3"]


def test_stream_stays_short_after_its_jobs_end(writer: Writer) -> None:
    """Also that of a job that never started, whose end is all there is; and no longer than a shorter setting says."""
    key, other = stream.key(writer.job_id), Writer(writer.client, ids.new(), 1, 20)
    writer.ttl_s = 900
    writer.open()
    writer.append(entries(1, 1))
    assert 800 < writer.client.ttl(key) <= 900  # type: ignore[operator]
    writer.append([Entry(2, Ended("succeeded"))])
    other.open([Entry(1, Ended("expired"))])
    assert 0 < writer.client.ttl(key) <= stream.ENDED_TTL_S  # type: ignore[operator]
    assert 0 < writer.client.ttl(stream.key(other.job_id)) <= 20  # type: ignore[operator]


def test_append_again_after_a_lost_reply_adds_nothing(writer: Writer) -> None:
    """A writer that didn't hear the answer repeats itself without harm, also when it has more to say by then."""
    writer.open()
    unheard = Writer(writer.client, writer.job_id, 1, TTL_S, last=writer.last)
    writer.append(entries(1, 2))
    assert unheard.append(entries(1, 3)) is AppendResult.OK
    assert numbers(writer) == ["1-1", "1-2", "1-3"]


def test_older_attempt_is_fenced_from_the_opening_of_a_newer(writer: Writer) -> None:
    """As soon as attempt 2 has opened the stream, attempt 1 can't add to it, open it or continue it."""
    writer.open(entries(1, 1))
    newer = Writer(writer.client, writer.job_id, 2, TTL_S)
    assert newer.open() is AppendResult.OK
    assert writer.append(entries(2, 2)) is AppendResult.FENCED
    assert writer.open(entries(1, 2)) is AppendResult.FENCED
    assert numbers(writer) == ["1-1"]


def test_numbers_go_on_across_attempts(writer: Writer) -> None:
    """Attempt 2 continues where attempt 1 stopped."""
    writer.open(entries(1, 2))
    newer = Writer(writer.client, writer.job_id, 2, TTL_S)
    assert stream.take_over(newer, Transcript()).entries == entries(1, 2)
    assert newer.append(entries(3, 3)) is AppendResult.OK
    assert numbers(writer) == ["1-1", "1-2", "2-3"]


def test_flushed_redis_is_noticed_and_republished(writer: Writer) -> None:
    """After a FLUSHALL nothing is appended into the void: the writer hears `lost` and tells the whole again."""
    writer.open(entries(1, 3))
    writer.client.flushall()
    assert writer.append(entries(4, 4)) is AppendResult.LOST
    assert numbers(writer) == []
    assert writer.open(entries(1, 4)) is AppendResult.OK
    assert numbers(writer) == ["1-1", "1-2", "1-3", "1-4"]


def test_redis_that_lost_only_the_end_gets_only_the_end(writer: Writer) -> None:
    """A Redis back from an older dump has a shorter stream: what is missing is added, nothing twice."""
    writer.open(entries(1, 2))
    ahead = Writer(writer.client, writer.job_id, 1, TTL_S, last="1-5")
    assert ahead.append(entries(6, 6)) is AppendResult.LOST
    assert ahead.open(entries(1, 6)) is AppendResult.OK
    assert numbers(writer) == [f"1-{seq}" for seq in range(1, 7)]


def test_take_over_prefers_the_longer_of_stream_and_checkpoint(writer: Writer) -> None:
    """A lost stream is published again from the checkpoint, under the new attempt."""
    checkpoint = Transcript([Entry(1, started()), *entries(2, 3)])
    newer = Writer(writer.client, writer.job_id, 2, TTL_S)
    assert stream.take_over(newer, checkpoint) == checkpoint
    assert numbers(writer) == ["2-1", "2-2", "2-3"]
    assert newer.append(entries(4, 4)) is AppendResult.OK


def test_stream_does_not_outlive_its_time(writer: Writer) -> None:
    """Every write renews the time to live."""
    writer.open(entries(1, 1))
    lives_s = writer.client.ttl(stream.key(writer.job_id))
    assert 0 < lives_s <= TTL_S


def test_client_never_repeats_a_command(redis_url: str) -> None:
    """redis-py retries ten times by default; a repeated append would be a doubled one."""
    client = stream.connect(redis_url, timeout_s=1, max_connections=1)
    assert client.get_retry() is None or client.get_retry()._retries == 0


@pytest.mark.parametrize("text", ["", "1", "1-", "-1", "a-b", "1-1-1", "1-1 ", "9999999-1", "１-1"[:0] + "1.0-1"])
def test_parse_id_takes_nothing_else(text: str) -> None:
    """An id is two decimal numbers with a dash."""
    assert stream.parse_id(text) is None
    assert stream.parse_id("12-345") == (12, 345)


def test_attempt_that_could_not_read_what_was_there_writes_anew(writer: Writer) -> None:
    """It goes on from less than older attempts streamed: their entries would stand before its own as if they were."""
    writer.open(entries(1, 6))
    newer = Writer(writer.client, writer.job_id, 2, TTL_S, anew=True)
    assert newer.open(entries(1, 4)) is AppendResult.OK
    assert newer.append(entries(5, 5)) is AppendResult.OK
    assert numbers(writer) == ["2-1", "2-2", "2-3", "2-4", "2-5"]
    assert Writer(writer.client, writer.job_id, 1, TTL_S, anew=True).open() is AppendResult.FENCED
    assert newer.open(entries(1, 5)) is AppendResult.OK
    assert len(numbers(writer)) == 5


def test_stream_of_the_version_before_is_read_and_gone_on_with(writer: Writer) -> None:
    """For as long as it lives: its entries are lists, and their token ids the fourth of each."""
    old = [["started", {"attempt": 1, "worker": "w1"}, 4, []], ["delta", {"text": "one "}, 1, [7]]]
    client, key = writer.client, stream.key(writer.job_id)
    for seq, told in enumerate([["opened", {}, 0, []], *old]):
        client.xadd(key, {"j": json.dumps(told)}, id=f"1-{seq}")
    newer = Writer(client, writer.job_id, 2, TTL_S)
    so_far = stream.take_over(newer, Transcript())
    assert so_far.entries == [Entry(1, started()), Entry(2, said("one "), (7,))]
    assert newer.append(entries(3, 3)) is AppendResult.OK
    assert [each.entry for each in stream.read(client, writer.job_id)] == [*so_far.entries, *entries(3, 3)]


def test_stream_is_whole_while_redis_lives(client: redis.Redis, writer: Writer) -> None:
    """All that was written since the newest opening is there, whoever opened it."""
    client.flushall()
    long_ago, now = 0.0, time.time() + 60
    assert not stream.is_whole(client, writer.job_id, now)
    writer.open()
    writer.append(entries(1, 200))
    assert stream.is_whole(client, writer.job_id, long_ago)
    assert stream.is_whole(client, ids.new(), now)
    assert not stream.is_whole(client, ids.new(), long_ago)
    client.delete(stream.key(writer.job_id))
    assert not stream.is_whole(client, writer.job_id, long_ago)


def test_stream_that_lost_something_stays_so(client: redis.Redis, writer: Writer) -> None:
    """Until an attempt after that has been told of it."""
    writer.after_loss = True
    writer.open()
    writer.append(entries(1, 2))
    assert not stream.is_whole(client, writer.job_id, 0.0)


def test_stream_of_another_life_of_redis_is_not_whole(client: redis.Redis, writer: Writer) -> None:
    """What came back from a disk may lack the last words."""
    client.xadd(stream.key(writer.job_id), {"j": "0" * 40}, id="1-0")
    assert not stream.is_whole(client, writer.job_id, 0.0)
