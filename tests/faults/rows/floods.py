"""Many jobs, many messages, many readers, at once."""

import itertools
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import psutil

from tasks.queues import broker
from tests.faults.checker import Tally
from tests.faults.clients import Ask, Follower, greedy, seeded
from tests.faults.ground import PAIR, Ground, starts
from tests.faults.rig import ECHO, FAST, LIMIT_S

_CLIENTS = 8
_TRIO = {"fast-one": FAST, "fast-two": FAST, "fast-three": FAST}
_FAST_PAIR = {"fast-one": FAST, "fast-two": FAST}
_READERS = 200  # fewer than a tenant may have
_HEALTH_S = 0.1
_LEAVES = 20


def ten_thousand(ground: Ground) -> Tally:
    """TENK: ten thousand jobs, three workers, one of which is killed at random moments throughout."""
    tally, rig, party = Tally(), ground.rig, ground.party()
    rig.heal(_TRIO)
    jobs, numbers = ground.size(10_000, 1_000), starts(ground)
    asks = [_long_or_short(number) for number in itertools.islice(numbers, jobs)]
    before = _redis_bytes(ground)
    gone = threading.Event()
    highest = [before]

    def submit() -> None:
        with ThreadPoolExecutor(_CLIENTS) as pool:
            list(pool.map(lambda ask: party.surely(ask, follow=False), asks))
        gone.set()

    began = time.monotonic()
    threading.Thread(target=submit, daemon=True).start()
    unfinished = "SELECT 1 FROM jobs WHERE metadata->>'request' LIKE %s AND finished_at IS NULL LIMIT 1"
    while not gone.is_set() or rig.rows(unfinished, f"{party.label}.%"):
        time.sleep(ground.random.uniform(1, 3))
        name = ground.random.choice(list(_TRIO))
        tally.injections += 1
        rig.kill(name)
        tally.fired += 1
        highest.append(_redis_bytes(ground))
        rig.worker(name, FAST)
        if time.monotonic() - began > 10 * LIMIT_S:
            break
    tally.notes.append(
        f"all done after {time.monotonic() - began:.0f} s; Redis {before} B before, {max(highest)} B at most"
    )
    return ground.check(party, tally)


def queue_and_cancels(ground: Ground) -> Tally:
    """F25: ten thousand jobs queue up before any worker is there, two come, a tenth of the jobs is cancelled."""
    tally, rig, party = Tally(), ground.rig, ground.party()
    rig.heal({})
    jobs, numbers = ground.size(10_000, 1_000), starts(ground)
    asks = [greedy(3, number, FAST) for number in itertools.islice(numbers, jobs)]
    began = time.monotonic()
    with ThreadPoolExecutor(_CLIENTS) as pool:
        accepted = list(pool.map(lambda ask: party.surely(ask, follow=False), asks))
        rate = jobs / (time.monotonic() - began)
        for name, model in _FAST_PAIR.items():
            rig.worker(name, model)
        chosen = ground.random.sample(accepted, jobs // 10)
        list(pool.map(party.cancel, chosen))
    tally.injections = len(chosen)
    ground.check(party, tally, 600)
    cancelled = "SELECT count(*) FROM jobs WHERE metadata->>'request' LIKE %s AND status = 'cancelled'"
    tally.fired = rig.rows(cancelled, f"{party.label}.%")[0][0]
    tally.notes.append(f"{rate:.0f} jobs accepted a second by {_CLIENTS} clients; {tally.fired} were cancelled in time")
    return tally


def messages_by_tens(ground: Ground) -> Tally:
    """F26: every job's wake-up is delivered ten times more, while it waits, runs and has ended."""
    tally, rig, party = Tally(), ground.rig, ground.party()
    rig.heal(PAIR)
    numbers = starts(ground)
    sender = broker.Sender(rig.servers["redis"].url, timeout_s=5)
    like = f"{party.label}.%"
    jobs = [party.surely((greedy if i % 2 else seeded)(40, next(numbers))) for i in range(ground.size(200, 40))]
    for _ in range(10):
        for (job_id,) in rig.rows("SELECT id FROM jobs WHERE metadata->>'request' LIKE %s", like):
            sender.send(job_id, broker.lane(ECHO, "interactive"))
            tally.injections += 1
        time.sleep(0.3)
    sender.close()
    ground.check(party, tally)
    with rig.redis() as client:
        rig.until(lambda: not client.llen("forebay:echo.interactive"))
    refused = sum(rig.log(name).count("event=not_to_be_had") for name in PAIR)
    tally.fired = min(refused, tally.injections)
    again = rig.rows("SELECT count(*) FROM jobs WHERE metadata->>'request' LIKE %s AND attempt > 1", like)[0][0]
    tally.promise(again == 0, f"{again} of {len(jobs)} jobs were run twice")
    return tally


def readers_come_and_go(ground: Ground) -> Tally:
    """F33: 200 readers on 50 jobs; each loses its connection every few events and comes again with Last-Event-ID."""
    tally, rig, party = Tally(), ground.rig, ground.party()
    rig.heal(PAIR)
    numbers = starts(ground)
    count = ground.size(50, 10)
    jobs = [party.surely((greedy if i % 2 else seeded)(120, next(numbers)), follow=False) for i in range(count)]
    readers = [Fickle(rig.url, rig.key, job_id, ground.random.randint(2, 9)) for job_id in jobs * (_READERS // count)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(2 * LIMIT_S)
        tally.gaps += not reader.told_end or reader.numbers() != list(range(1, len(reader.events) + 1))
        party.followers[reader.job_id] = reader
    tally.injections = sum(reader.lost for reader in readers)
    tally.fired = tally.injections
    return ground.check(party, tally)


def cancel_and_end(ground: Ground) -> Tally:
    """F32: eight clients cancel jobs that end, or lose their worker, at the same moment: each has one end."""
    tally, rig, party = Tally(), ground.rig, ground.party()
    rig.heal(_FAST_PAIR)
    numbers = starts(ground)
    asks = [greedy(30, number, FAST) for number in itertools.islice(numbers, ground.size(2_400, 300))]

    def submit_and_cancel(ask: Ask) -> None:
        job_id = party.surely(ask, follow=False)
        time.sleep(ground.random.uniform(0, 0.03))
        party.cancel(job_id)
        party.cancel(job_id)

    with ThreadPoolExecutor(_CLIENTS) as pool:
        done = pool.map(submit_and_cancel, asks)
        time.sleep(1)
        rig.kill("fast-one")
        rig.again("fast-one")
        tally.injections = len(list(done))
    ground.check(party, tally)
    ends = "SELECT status, count(*) FROM jobs WHERE metadata->>'request' LIKE %s GROUP BY status"
    counted = dict(rig.rows(ends, f"{party.label}.%"))
    tally.fired = min(counted.values()) if len(counted) > 1 else 0
    tally.notes.append(str(counted))
    return tally


class Fickle(Follower):
    """A reader that leaves after every so many events, and comes again; the rest it then reads in one go."""

    def __init__(self, url: str, key: str, job_id: str, patience: int) -> None:
        super().__init__(url, key, job_id)
        self._patience = patience
        self.lost = 0

    def _take(self, id: str, type: str, data: dict[str, object]) -> None:
        super()._take(id, type, data)
        if len(self.events) % self._patience == 0 and not self.over and self.lost < _LEAVES:
            self.lost += 1
            raise httpx.ReadError("it left")


def slow_senders(ground: Ground) -> Tally:
    """F35: 500 connections that send nothing, half a head, or a body byte by byte: others are answered as ever."""
    tally, rig, party = Tally(), ground.rig, ground.party()
    rig.heal(PAIR)
    heads = (b"", b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nX-", _head(rig.key, 1000) + b'{"')
    target = urlsplit(rig.url)
    sockets = []
    for number in range(ground.size(500, 200)):
        connection = socket.create_connection((target.hostname or "", target.port or 0))
        connection.sendall(heads[number % len(heads)])
        sockets.append(connection)
        tally.injections += 1
    tally.fired = len(sockets)
    numbers = starts(ground)
    seconds = []
    for _ in range(20):
        began = time.monotonic()
        assert rig.status("/healthz") == 200
        seconds.append(time.monotonic() - began)
        party.surely(greedy(5, next(numbers)))
    for connection in sockets:
        connection.close()
    first, slowest = seconds[0], max(seconds[1:])  # the first comes while all these are still being accepted
    tally.notes.append(f"/healthz took {1000 * first:.0f} ms at first, then at most {1000 * slowest:.0f}")
    tally.aim(slowest < _HEALTH_S, f"/healthz took {slowest:.2f} s")
    return ground.check(party, tally)


def unread(ground: Ground) -> Tally:
    """F34: readers that never read, and some that read ten bytes a second: the others' streams are as fast as ever."""
    tally, rig, party = Tally(), ground.rig, ground.party()
    rig.heal(PAIR)
    numbers = starts(ground)
    answering = psutil.Process(rig.pid("api")).children()
    before = sum(process.memory_info().rss for process in answering)
    long = [party.surely(greedy(600, next(numbers))) for _ in range(4)]
    target = urlsplit(rig.url)
    sockets = []
    for number in range(64):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.connect((target.hostname, target.port))
        path = f"GET /v1/jobs/{long[number % 4]}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {rig.key}\r\n\r\n"
        connection.sendall(path.encode())
        sockets.append(connection)
        tally.injections += 1
    tally.fired = len(sockets)
    ground.check(party, tally)
    grown = (sum(process.memory_info().rss for process in answering) - before) / 1e6
    tally.notes.append(f"the API grew by {grown:.0f} MB")
    tally.promise(grown < 50, f"the API grew by {grown:.0f} MB")
    for connection in sockets:
        connection.close()
    return tally


def gone_clients(ground: Ground) -> Tally:
    """F36: clients that vanish in the middle of their stream stop no job."""
    tally, rig, party = Tally(), ground.rig, ground.party()
    rig.heal(PAIR)
    numbers = starts(ground)
    for i in range(ground.size(40, 16)):
        job_id = party.surely((greedy if i % 2 else seeded)(60, next(numbers)), follow=False)
        with httpx.stream(
            "GET", f"{rig.url}/v1/jobs/{job_id}/events", headers={"Authorization": f"Bearer {rig.key}"}, timeout=30
        ) as answer:
            next(line for line in answer.iter_lines() if line.startswith("event: delta"))
        tally.injections += 1
        tally.fired += 1
    return ground.check(party, tally)


def _head(key: str, length: int) -> bytes:
    lines = ("POST /v1/jobs HTTP/1.1", "Host: x", f"Authorization: Bearer {key}", "Content-Type: application/json")
    return "\r\n".join((*lines, f"Content-Length: {length}", "", "")).encode()


def _long_or_short(number: int) -> Ask:
    return (greedy if number % 2 else seeded)(3 + number % 40, number, FAST)


def _redis_bytes(ground: Ground) -> int:
    with ground.rig.redis() as client:
        return int(client.info("memory")["used_memory"])
