"""Redis killed, emptied, away, frozen, cut off and full: what was accepted is done all the same."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import redis

from tests.faults import checker
from tests.faults.checker import Tally
from tests.faults.clients import Party, greedy, seeded
from tests.faults.ground import PAIR, Ground, NotHere, flow, starts
from tests.faults.rig import ECHO

_OUTSTANDING = 8
_ACCEPT_P99_S = 0.3
_DRAIN_S = 30.0
_HEAL_S = 10.0


@contextmanager
def under_load(ground: Ground, party: Party) -> Iterator[None]:
    """Jobs of 40 to 120 words come and are followed all the while."""
    numbers = starts(ground)
    draw = ground.random.randint
    with flow(party, lambda i: (greedy if i % 2 else seeded)(draw(40, 120), next(numbers)), _OUTSTANDING):
        ground.rig.until(lambda: any(follower.tokens_seen() > 3 for follower in list(party.followers.values())))
        yield


def killed(ground: Ground) -> Tally:
    """F07: Redis dies and comes back with its append-only file, under load."""
    return _repeat(ground, ground.size(10, 2), _kill_and_start)


def emptied(ground: Ground) -> Tally:
    """F08: Redis loses all it had, by a command and by a death without its files, also when all has ended."""
    party = ground.party()
    tally = _repeat(ground, ground.size(10, 2), _empty, party)
    with ground.rig.redis() as client:
        client.flushall()
    checker.reread(ground.rig, party, tally)
    return tally


def message_lost(ground: Ground) -> Tally:
    """UNHEARD: wake-ups disappear from Redis before any worker sees them: the sweep finds the jobs by their rows."""
    tally, rig, party = Tally(), ground.rig, ground.party()
    rig.heal(PAIR)
    numbers = starts(ground)
    for _ in range(ground.size(5, 1)):
        for name in PAIR:
            rig.freeze(name)
        followers = [party.followers[party.surely(greedy(10, next(numbers)))] for _ in range(2 * len(PAIR))]
        tally.injections += 1
        with rig.redis() as client:  # what the frozen ones had asked for is handed to them, the rest waits
            rig.until(lambda client=client: client.llen("forebay:echo.interactive"), 10)
            tally.fired += int(client.delete("forebay:echo.interactive"))
        for name in PAIR:
            rig.thaw(name)
        for follower in followers:
            follower.join(rig.subject.limit_s)
    ground.check(party, tally)
    like = f"{party.label}.%"
    again = rig.rows("SELECT count(*) FROM jobs WHERE metadata->>'request' LIKE %s AND attempt > 1", like)
    tally.promise(again == [(0,)], f"{again[0][0]} jobs were taken from living workers")
    return tally


def clients_killed(ground: Ground) -> Tally:
    """F10: every connection to Redis is broken every two seconds."""

    def kill(ground: Ground, _: int) -> bool:
        with ground.rig.redis() as client:
            broken = client.execute_command("CLIENT", "KILL", "TYPE", "normal")
            pubsub = client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        time.sleep(2)
        return int(broken) + int(pubsub) > 0

    return _repeat(ground, ground.size(30, 6), kill)


def frozen(ground: Ground) -> Tally:
    """F11: Redis answers nobody for 3, 12 and 20 seconds: nothing is written twice for it."""
    lengths = ground.size(3, 1)

    def freeze(ground: Ground, number: int) -> bool:
        with ground.rig.redis() as client:
            client.execute_command("DEBUG", "SLEEP", (3, 12, 20)[number])
        return True

    return _repeat(ground, lengths, freeze)


def _repeat(ground: Ground, times: int, inject: Callable[[Ground, int], bool], party: Party | None = None) -> Tally:
    tally, rig, party = Tally(), ground.rig, party or ground.party()
    rig.heal(PAIR)
    with under_load(ground, party):
        for number in range(times):
            tally.injections += 1
            tally.fired += inject(ground, number)
            over_at = time.monotonic()
            rig.until(lambda at=over_at: _heard(party, at), 60)
            tally.recoveries_s.append(time.monotonic() - over_at)
            time.sleep(ground.random.uniform(0.5, 1.5))
    ground.check(party, tally)
    _all_accepted(party, tally)
    return tally


def _heard(party: Party, after: float) -> bool:
    followers = list(party.followers.values())
    return any(follower.events and follower.events[-1][0] > after for follower in followers)


def _all_accepted(party: Party, tally: Tally) -> None:
    refused = [status for status in party.statuses if status != 202]
    tally.promise(not refused, f"{len(refused)} submissions were answered {sorted(set(refused))}")


def _kill_and_start(ground: Ground, _: int) -> bool:
    ground.rig.kill("redis")
    time.sleep(ground.random.uniform(0.5, 3))
    ground.rig.start_server("redis")
    return True


def _empty(ground: Ground, number: int) -> bool:
    if number % 2:
        with ground.rig.redis() as client:
            client.flushall()
        return True
    ground.rig.kill("redis")
    for file in (ground.rig.folder / "redis").glob("appendonly*"):
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    ground.rig.start_server("redis")
    return True


def away(ground: Ground) -> Tally:
    """F09: Redis is away for five minutes: jobs are accepted as fast as ever and all done soon after its return."""
    tally, rig, party = Tally(), ground.rig, ground.party()
    rig.heal(PAIR)
    numbers = starts(ground)
    rig.kill("redis")
    tally.injections = tally.fired = 1
    jobs, length_s = ground.size(100, 40), ground.size(300, 20)
    for _ in range(jobs):
        party.submit(greedy(5, next(numbers)), follow=False)
        time.sleep(length_s / jobs)
    tally.promise(rig.status("/readyz") == 200, "not ready though PostgreSQL is there")
    rig.start_server("redis")
    back_at = time.monotonic()
    ground.check(party, tally)
    tally.recoveries_s.append(time.monotonic() - back_at)
    slow = sorted(party.latencies)[int(0.99 * (len(party.latencies) - 1))]
    tally.notes.append(f"accepted at p99 in {1000 * slow:.0f} ms")
    tally.aim(slow < _ACCEPT_P99_S, f"accepted at p99 in {slow:.2f} s")
    tally.aim(tally.recoveries_s[0] < _DRAIN_S, f"drained in {tally.recoveries_s[0]:.0f} s")
    _all_accepted(party, tally)
    return tally


def half_open(ground: Ground) -> Tally:
    """F12: nothing passes between the only worker and Redis, and neither is told; then everything passes again."""
    tally, rig, party = Tally(), ground.rig, ground.party()
    rig.heal({})
    links = rig.links()
    rig.worker("one", ECHO, links)
    numbers = starts(ground)
    for length_s in ground.size((60, 120), (15,)):
        party.surely(greedy(100, next(numbers)))
        time.sleep(0.5)
        tally.injections += 1
        links.redis.hold()
        during = party.surely(greedy(10, next(numbers)))
        time.sleep(length_s)
        tally.fired += not party.followers[during].tokens_seen()
        links.redis.release()
        healed_at = time.monotonic()
        party.followers[during].join(90)
        tally.recoveries_s.append(time.monotonic() - healed_at)
    ground.check(party, tally)
    slowest = max(tally.recoveries_s)
    tally.aim(slowest < _HEAL_S, f"consuming {slowest:.1f} s after it healed")
    return tally


def disk_full(ground: Ground) -> Tally:
    """F20: the disk of Redis' append-only file is full for ten seconds."""
    tally, rig, party = Tally(), ground.rig, ground.party()
    place = rig.folder / "redis"
    rig.stop("redis")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", place], capture_output=True, text=True)
    if mounted.returncode:
        rig.start_server("redis")
        raise NotHere(f"no tmpfs can be mounted: {mounted.stderr.strip()}")
    try:
        rig.start_server("redis")
        rig.heal(PAIR)
        with under_load(ground, party):
            tally.injections += 1
            fill(place / "filler")
            with rig.redis() as client:
                tally.fired = int(_until_refused(client, "MISCONF"))
            time.sleep(5)
            (place / "filler").unlink()
            over_at = time.monotonic()
            rig.until(lambda: _heard(party, over_at), 60)
            tally.recoveries_s.append(time.monotonic() - over_at)
        ground.check(party, tally)
        _all_accepted(party, tally)
    finally:
        rig.stop("redis")
        subprocess.run(["umount", place], check=True)
        rig.start_server("redis")
    return tally


def fill(file: os.PathLike[str]) -> None:
    with open(file, "wb", buffering=0) as filler:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while filler.write(bytes(size)) == size:
                    pass
            except OSError:
                continue


def _until_refused(client: redis.Redis, word: str) -> bool:
    """Whether Redis refuses writes with that word within ten seconds."""
    for number in range(100):
        try:
            client.set(f"forebay:filler:{number}", b"x" * 1000)
        except redis.RedisError as error:
            if word in str(error):
                return True
        time.sleep(0.1)
    return False


def memory_full(ground: Ground) -> Tally:
    """F24: Redis may take no more memory for ten seconds."""
    tally, rig, party = Tally(), ground.rig, ground.party()
    rig.heal(PAIR)
    with under_load(ground, party), rig.redis() as client:
        tally.injections += 1
        client.config_set("maxmemory", 1_000_000)
        tally.fired = int(_until_refused(client, "maxmemory"))
        time.sleep(10)
        client.config_set("maxmemory", 0)
        over_at = time.monotonic()
        rig.until(lambda: _heard(party, over_at), 60)
        tally.recoveries_s.append(time.monotonic() - over_at)
    ground.check(party, tally)
    _all_accepted(party, tally)
    return tally
