"""Many readers on one gunicorn: some resume at random, some never read, some vanish. Nobody else notices."""

import contextlib
import random
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import redis

from db.session import Sessions
from tests.support.events import read
from tests.support.waiting import until
from tests.webapi import byhand
from tests.webapi.byhand import Run
from tests.webapi.conftest import new_key
from tests.webapi.serving import Served, gunicorn
from webapi.settings import Settings

READERS = 24
JOBS = 3
DELTAS = 100
STUCK = 64
LOUD_BYTES = 40_000
LOUD_EVENTS = 250  # 10 MB: more than the kernel takes for a client who doesn't read
LIMIT_S = 90.0


def opened(served: Served, job_id: str, *, buffer_bytes: int | None = None) -> socket.socket:
    """A stream that was asked for and not read yet."""
    connection = socket.socket()
    if buffer_bytes:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    connection.connect(("127.0.0.1", served.port))
    head = f"GET /v1/jobs/{job_id}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {served.key}\r\n\r\n"
    connection.sendall(head.encode())
    return connection


def resuming(served: Served, job_id: str, seed: int) -> list[tuple[int, str]]:
    """Every event of the job, by a client that leaves after a few and comes back with the last id it got."""
    chance, seen, last = random.Random(seed), list[tuple[int, str]](), ""
    headers = {"Authorization": f"Bearer {served.key}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{served.port}", headers=headers, timeout=30) as client:
        while not seen or seen[-1][1] != "succeeded":
            leave_after = chance.randrange(1, 60)
            with client.stream("GET", f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": last or "0"}) as stream:
                for event in read(stream.iter_lines()):
                    if event.id is None:
                        continue
                    last = event.id
                    seen.append((event.number, event.data["text"] if event.type == "delta" else event.type))
                    leave_after -= 1
                    if leave_after == 0 or event.type == "succeeded":
                        break
    return seen


def drops_to(served: Served, count: int) -> None:
    until(lambda: served.connections() <= count, look_s=0.1)


@pytest.mark.parametrize("flushed", [False, True])
def test_readers_who_resume_at_random_get_every_event_once(
    served: Served, sessions: Sessions, client: redis.Redis, flushed: bool
) -> None:
    """Each one's concatenation is the whole text, in order, also when Redis loses everything on the way."""
    runs = [byhand.run(sessions, client, served.submit()) for _ in range(JOBS)]
    shown = [f"job_{run.job_id.hex}" for run in runs]
    with ThreadPoolExecutor(READERS) as pool:
        reading = [pool.submit(resuming, served, shown[number % JOBS], number) for number in range(READERS)]
        for number in range(DELTAS):
            for run in runs:
                run.say(f"{number} ")
            if flushed and number == DELTAS // 2:
                client.flushall()
            time.sleep(0.01)
        for run in runs:
            run.succeed()
        expected = [(1, "started"), *[(n + 2, f"{n} ") for n in range(DELTAS)], (DELTAS + 2, "succeeded")]
        for each in reading:
            assert each.result(timeout=LIMIT_S) == expected


@pytest.fixture
def strict(settings: Settings, sessions: Sessions, client: redis.Redis) -> Iterator[Served]:
    """One that gives readers who don't read up soon."""
    with gunicorn(settings, new_key(sessions, "ours"), unread=4) as served:
        yield served


def test_readers_who_never_read_are_let_go(strict: Served, sessions: Sessions, client: redis.Redis) -> None:
    """They hold little memory and nobody up; the kernel gives them up, and their threads serve others."""
    loud, quiet = (byhand.run(sessions, client, strict.submit()) for _ in range(2))
    strict.client.get("/healthz")
    before, rss = strict.connections(), strict.worker.memory_info().rss
    with contextlib.ExitStack() as stuck, ThreadPoolExecutor(1) as pool:
        for _ in range(STUCK):
            connection = stuck.enter_context(opened(strict, f"job_{loud.job_id.hex}", buffer_bytes=4096))
            while b"event: started" not in connection.recv(4096):
                pass
        reading = pool.submit(resuming, strict, f"job_{quiet.job_id.hex}", 1)
        for number in range(LOUD_EVENTS):
            loud.say("x" * LOUD_BYTES)
            quiet.say(f"{number} ")
        quiet.succeed()
        texts = [text for _, text in reading.result(timeout=LIMIT_S)]
        assert texts[1:-1] == [f"{number} " for number in range(LOUD_EVENTS)]
        assert strict.worker.memory_info().rss < rss + 50_000_000
        drops_to(strict, before)
    loud.succeed()
    whole = strict.client.get(f"/v1/jobs/job_{loud.job_id.hex}/events").text
    assert whole.count("event: delta") == LOUD_EVENTS


def test_reader_who_vanishes_does_not_stop_the_job(served: Served, sessions: Sessions, client: redis.Redis) -> None:
    """Its connection is reset in the middle of a word; the job goes on, and the rest is there for whoever asks."""
    job_id = served.submit()
    run: Run = byhand.run(sessions, client, job_id)
    served.client.get("/healthz")
    before = served.connections()
    connection = opened(served, job_id)
    run.say("a")
    while b'"a"' not in connection.recv(4096):
        pass
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    run.say("b")
    drops_to(served, before)
    run.say("c")
    assert served.client.get(f"/v1/jobs/{job_id}").json()["status"] == "running"
    run.succeed()
    assert served.client.get(f"/v1/jobs/{job_id}").json()["result"]["text"] == "abc"
    text = served.client.get(f"/v1/jobs/{job_id}/events?after=2").text
    assert '"b"' in text
    assert "event: succeeded" in text
