"""The publisher: memory first, the stream as far as Redis lets it."""

import fakeredis
import pytest
from sqlalchemy.exc import OperationalError

from tasks import errors
from tests.support import entries
from tests.workers.conftest import Bench
from workers.publisher import Publisher


def write(publisher: Publisher, text: str) -> None:
    publisher.transcript.add(entries.said(text))
    publisher.flush()


def test_redis_out_of_reach_delays_nothing_but_the_reading(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """While Redis is away entries gather in memory; the first flush that gets through brings them all."""
    monkeypatch.setattr("workers.publisher._RETRY_S", 0)
    server = fakeredis.FakeServer()
    away = Bench(fakeredis.FakeRedis(server=server), bench.job_id)
    publisher = away.publisher(away.attempt())
    write(publisher, "a")
    server.connected = False
    write(publisher, "b")
    write(publisher, "c")
    server.connected = True
    write(publisher, "d")
    assert away.text() == "abcd"


def test_flushed_redis_gets_the_whole_stream_again(bench: Bench) -> None:
    """Numbers and cuts are what they were."""
    publisher = bench.publisher(bench.attempt())
    write(publisher, "a")
    write(publisher, "b")
    before = bench.entries()
    bench.client.flushall()
    write(publisher, "c")
    assert bench.entries()[:2] == before
    assert bench.text() == "abc"


def test_attempt_that_is_no_longer_the_newest_does_not_republish(bench: Bench) -> None:
    """A lost stream and a lost attempt: the work is dropped."""
    publisher = bench.publisher(bench.attempt(), newest=False)
    write(publisher, "a")
    bench.client.flushall()
    with pytest.raises(errors.Fenced):
        write(publisher, "b")
    assert bench.entries() == []


def test_database_out_of_reach_while_redis_has_lost_the_stream_is_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is right can't be asked now: the words are kept and told later."""
    monkeypatch.setattr("workers.publisher._RETRY_S", 0)
    publisher = bench.publisher(bench.attempt())
    write(publisher, "a")
    bench.client.flushall()
    asked: list[bool] = []

    def newest() -> bool:
        asked.append(True)
        if len(asked) == 1:
            raise OperationalError("SELECT", {}, Exception("gone"))
        return True

    publisher.newest = newest
    write(publisher, "b")
    assert bench.entries() == []
    write(publisher, "c")
    assert bench.text() == "abc"


def test_newer_attempts_opening_ends_the_older(bench: Bench) -> None:
    """The older hears `fenced` at its next word."""
    older = bench.publisher(bench.attempt())
    write(older, "a")
    newer = bench.publisher(bench.attempt(2))
    with pytest.raises(errors.Fenced):
        write(older, "b")
    write(newer, "c")
    assert bench.text() == "ac"


def test_worker_cut_off_past_its_lease_publishes_nothing_until_it_is_back(bench: Bench) -> None:
    """It goes on in memory, and tells all at once when its lease is renewed."""
    cut_off = True
    publisher = bench.publisher(bench.attempt(), silent=lambda: cut_off)
    write(publisher, "a")
    assert bench.entries() == []
    cut_off = False
    write(publisher, "b")
    assert bench.text() == "ab"
