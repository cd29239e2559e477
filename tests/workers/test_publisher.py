"""The pen: memory first, the stream as far as Redis lets it."""

import fakeredis
import pytest
from sqlalchemy.exc import OperationalError

from tasks import errors
from tests.support import entries
from tests.workers.conftest import Bench
from workers.publisher import Pen


def write(pen: Pen, text: str) -> None:
    pen.transcript.add(entries.said(text))
    pen.flush()


def test_redis_out_of_reach_delays_nothing_but_the_reading(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """While Redis is away entries gather in memory; the first flush that gets through brings them all."""
    monkeypatch.setattr("workers.publisher._RETRY_S", 0)
    server = fakeredis.FakeServer()
    away = Bench(fakeredis.FakeRedis(server=server), bench.job_id)
    pen = away.pen(away.attempt())
    write(pen, "a")
    server.connected = False
    write(pen, "b")
    write(pen, "c")
    server.connected = True
    write(pen, "d")
    assert away.text() == "abcd"


def test_flushed_redis_gets_the_whole_stream_again(bench: Bench) -> None:
    """The same numbers, the same cuts."""
    pen = bench.pen(bench.attempt())
    write(pen, "a")
    write(pen, "b")
    before = bench.entries()
    bench.client.flushall()
    write(pen, "c")
    assert bench.entries()[:2] == before
    assert bench.text() == "abc"


def test_attempt_that_is_no_longer_the_newest_does_not_republish(bench: Bench) -> None:
    """A lost stream and a lost attempt: the work is dropped."""
    pen = bench.pen(bench.attempt(), newest=False)
    write(pen, "a")
    bench.client.flushall()
    with pytest.raises(errors.Fenced):
        write(pen, "b")
    assert bench.entries() == []


def test_database_out_of_reach_while_redis_has_lost_the_stream_is_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is right can't be asked now: the words are kept and told later."""
    monkeypatch.setattr("workers.publisher._RETRY_S", 0)
    pen = bench.pen(bench.attempt())
    write(pen, "a")
    bench.client.flushall()
    asked: list[bool] = []

    def newest() -> bool:
        asked.append(True)
        if len(asked) == 1:
            raise OperationalError("SELECT", {}, Exception("gone"))
        return True

    pen.newest = newest
    write(pen, "b")
    assert bench.entries() == []
    write(pen, "c")
    assert bench.text() == "abc"


def test_newer_attempts_opening_ends_the_older(bench: Bench) -> None:
    """The older hears `fenced` at its next word."""
    older = bench.pen(bench.attempt())
    write(older, "a")
    newer = bench.pen(bench.attempt(2))
    with pytest.raises(errors.Fenced):
        write(older, "b")
    write(newer, "c")
    assert bench.text() == "ac"


def test_worker_cut_off_past_its_lease_publishes_nothing_until_it_is_back(bench: Bench) -> None:
    """It goes on in memory, and tells all at once when its lease is renewed."""
    cut_off = True
    pen = bench.pen(bench.attempt(), silent=lambda: cut_off)
    write(pen, "a")
    assert bench.entries() == []
    cut_off = False
    write(pen, "b")
    assert bench.text() == "ab"
