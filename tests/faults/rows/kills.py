"""Workers and engine hosts killed, frozen and told to go, in the middle of generations."""

import itertools
import subprocess
import sys
import time
from collections.abc import Iterable

import redis

from tests.faults.checker import Tally
from tests.faults.clients import Ask, Follower, Party, greedy, seeded
from tests.faults.ground import DEMO_PAIR, PAIR, Ground, flow, resumed, starts
from tests.faults.rig import DEMO

_BEGINNINGS = ("It was raining. The", 'Anna said: "', "A list of animals: dog, cat,", "1 2 3 4 5", "Tom and his")
_NOUNS = ("", "lamp", "boat", "mill", "dog", "river", "door", "winter", "hill", "sun", "tree", "room")
_LEASE_S = 4.0
_BUSY_LOOPS = 4


def long_asks(ground: Ground, number: int, tokens: int) -> list[Ask]:
    """So many asks of the subject, half greedy, half seeded, that it answers with nearly so many tokens or all.

    What it says alone is known then.
    """
    prompts = [f"{beginning} {noun}".strip() for noun in _NOUNS for beginning in _BEGINNINGS]
    seeds = range(100 * ground.seed, 100 * ground.seed + 100)
    asked = itertools.chain(
        ({"temperature": 0, "max_tokens": tokens, "prompt": prompt} for prompt in prompts),
        ({"temperature": 0.9, "seed": seed, "max_tokens": tokens, "prompt": prompts[0]} for seed in seeds),
    )
    kept: dict[bool, list[Ask]] = {True: [], False: []}
    for params in asked:
        ask = Ask(DEMO, str(params.pop("prompt")), params)
        alike = kept[params["temperature"] == 0]
        if len(alike) < number // 2:
            ground.learn([ask])
            if ground.undisturbed[ask.key][1] >= long(tokens):
                alike.append(ask)
    return kept[True] + kept[False]


def long(tokens: int) -> int:
    """What is shorter is over before a fault meets it among others that may have so many tokens."""
    return tokens * 5 // 8


def worker_in_the_middle(ground: Ground) -> Tally:
    """F02: a worker and its host die at a random token, all their slots busy: every text goes on where it was cut."""
    tally, rig, subject = Tally(), ground.rig, ground.rig.subject
    rig.heal(DEMO_PAIR)
    asks = long_asks(ground, 2 * subject.slots, subject.tokens)
    party, deaths = ground.party(), []
    for _ in range(ground.size(subject.kills, 3)):
        arm(ground, "demo-one", f"worker.mid_generation:{_passage(ground)}")
        followers = submit_all(ground, party, asks, DEMO_PAIR)
        tally.injections += 1
        if died_at := _dead(ground, "demo-one", followers):
            tally.fired += 1
            deaths.append((died_at, followers))
        join(ground, followers)
    rig.heal(DEMO_PAIR)
    ground.check(party, tally)
    for died_at, followers in deaths:
        resumed(tally, followers, died_at)
    slowest = tally.recovery(1.0) or 0.0
    tally.aim(slowest <= subject.takeover_s, f"a takeover took {slowest:.1f} s")
    return tally


def host_in_the_middle(ground: Ground) -> Tally:
    """F03: only the engine host dies, while a run stands at a random token: a pause, and no new attempt."""
    tally, rig, subject = Tally(), ground.rig, ground.rig.subject
    rig.heal({"demo-one": DEMO})
    asks = long_asks(ground, subject.slots, subject.tokens)
    party = ground.party()
    for _ in range(ground.size(subject.kills, 3)):
        tally.injections += 1
        arm(ground, "demo-one", f"worker.mid_generation:{_passage(ground)}:pause")
        followers = submit_all(ground, party, asks, ["demo-one"])
        _kill_host(ground, tally, followers)
        join(ground, followers)
    ground.check(party, tally)
    again = rig.rows("SELECT count(*) FROM jobs WHERE metadata->>'request' LIKE %s AND attempt > 1", f"{party.label}.%")
    tally.promise(again == [(0,)], f"{again[0][0]} jobs changed their worker")
    return tally


def worker_and_redis_together(ground: Ground) -> Tally:
    """LOST: a worker stands still in the middle, Redis is emptied, the worker dies. Its runs go on from their last
    checkpoints, and who had read further is told it anew; another worker's are not to be noticed."""
    tally, rig, subject = Tally(may_restart=True), ground.rig, ground.rig.subject
    rig.heal(DEMO_PAIR)
    asks = long_asks(ground, 2 * subject.slots, subject.tokens)
    party = ground.party()
    for _ in range(ground.size(10, 2)):
        tally.injections += 1
        followers = submit_all(ground, party, asks, DEMO_PAIR)
        rig.until(lambda f=followers: sum(follower.tokens_seen() > 3 for follower in f) > subject.slots or over(f))
        rig.freeze("demo-one")
        with rig.redis() as client:
            client.flushall()
        rig.kill("demo-one")
        rig.again("demo-one")
        join(ground, followers)
        tally.fired += any(2 in follower.attempts for follower in followers)
    ground.check(party, tally)
    misled = sum(follower.restarts() > 0 for follower in party.followers.values() if max(follower.attempts) == 1)
    tally.promise(not misled, f"{misled} readers were told anew what a living worker had said")
    tally.promise("event=stream_republished" in rig.log("demo-two"), "no living worker told its streams again")
    return tally


def idle_worker_with_a_message(ground: Ground) -> Tally:
    """F01: a frozen idle worker is handed the message and killed: neither Redis nor anyone living has it then."""
    tally, rig, party = Tally(), ground.rig, ground.party()
    numbers = starts(ground)
    for _ in range(ground.size(10, 2)):
        rig.heal(PAIR)
        with rig.redis() as client:
            rig.until(lambda client=client: _waiting_workers(client) == len(PAIR) + 1)  # the control worker waits too
        for name in PAIR:
            rig.freeze(name)
        jobs = [party.surely(greedy(10, next(numbers))) for _ in PAIR]
        tally.injections += len(jobs)
        time.sleep(0.3)
        with rig.redis() as client:
            tally.fired += len(jobs) - int(client.llen("forebay:echo.interactive"))
        killed_at = [rig.kill(name) for name in PAIR][-1]
        rig.stop("two")
        rig.again("one")
        started_at = time.monotonic()
        join(ground, [party.followers[job] for job in jobs])
        heard = (party.followers[job].heard_again(killed_at) for job in jobs)
        tally.recoveries_s += [at - started_at for at in heard if at is not None]
    return ground.check(party, tally)


def zombie(ground: Ground) -> Tally:
    """F05: a worker stands still for three leases and wakes: what it held is others' by then, and it adds nothing."""
    tally, rig, party = Tally(), ground.rig, ground.party()
    numbers = starts(ground)
    for _ in range(ground.size(5, 1)):
        rig.heal(PAIR)
        followers = [party.followers[party.surely((greedy if i % 2 else seeded)(200, next(numbers)))] for i in range(8)]
        rig.until(lambda followers=followers: all(follower.tokens_seen() > 3 for follower in followers))
        tally.injections += 1
        rig.freeze("one")
        frozen_at = time.monotonic()
        time.sleep(3 * _LEASE_S)
        rig.thaw("one")
        join(ground, followers)
        resumed(tally, followers, frozen_at)
        tally.fired += any(2 in follower.attempts for follower in followers)
    return ground.check(party, tally)


def deploy(ground: Ground) -> Tally:
    """F30: worker after worker is told to stop and started again under load: nobody notices, no attempt is counted."""
    tally, rig, party = Tally(), ground.rig, ground.party()
    rig.heal(PAIR)
    longest, numbers = 0.0, starts(ground)
    with flow(party, lambda i: (greedy if i % 2 else seeded)(200, next(numbers)), outstanding=10):
        for _ in range(ground.size(10, 1)):
            for name in PAIR:
                time.sleep(1)
                tally.injections += 1
                began = time.monotonic()
                rig.stop(name)
                longest = max(longest, time.monotonic() - began)
                rig.worker(name, PAIR[name])
    ground.check(party, tally)
    like = f"{party.label}.%"
    handed = rig.rows("SELECT count(*) FROM jobs WHERE metadata->>'request' LIKE %s AND attempt > 1", like)[0][0]
    crashes = rig.rows("SELECT count(*) FROM jobs WHERE metadata->>'request' LIKE %s AND crashes > 0", like)[0][0]
    tally.fired = tally.injections if handed else 0
    tally.promise(crashes == 0, f"{crashes} jobs were counted as crashed")
    tally.notes.append(f"{handed} jobs handed back; the slowest worker was gone after {longest:.1f} s")
    return tally


def busy_loops(ground: Ground) -> Tally:
    """BUSY: four loops take all cores for five minutes, and no living worker is taken for dead."""
    tally, rig, party = Tally(), ground.rig, ground.party()
    rig.heal(PAIR)
    numbers = starts(ground)
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(_BUSY_LOOPS)]
    try:
        tally.injections = tally.fired = len(loops)
        with flow(party, lambda _: greedy(100, next(numbers)), outstanding=6):
            time.sleep(ground.size(300, 60))
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
    ground.check(party, tally)
    again = rig.rows("SELECT count(*) FROM jobs WHERE metadata->>'request' LIKE %s AND attempt > 1", f"{party.label}.%")
    tally.promise(again == [(0,)], f"{again[0][0]} jobs were taken from living workers")
    return tally


def _waiting_workers(client: redis.Redis) -> int:
    """How many wait for a message in Redis right now."""
    return sum(one["cmd"] == "brpop" and "b" in one["flags"] for one in client.client_list())


def _passage(ground: Ground) -> int:
    """At which token the failpoint is: before the first of all the runs is half over, if they are as fast."""
    subject = ground.rig.subject
    return ground.random.randint(1, subject.slots * long(subject.tokens) // 2)


def arm(ground: Ground, name: str, told: str) -> None:
    ground.rig.kill(name)
    ground.rig.supervisor.log(name).write_text("")
    ground.rig.again(name, FOREBAY_FAILPOINT=told)


def submit_all(ground: Ground, party: Party, asks: list[Ask], workers: Iterable[str]) -> list[Follower]:
    """Has them all start at the same moment: the workers stand still until the last is submitted."""
    for name in workers:
        ground.rig.freeze(name)
    followers = [party.followers[party.surely(ask)] for ask in asks]
    for name in workers:
        ground.rig.thaw(name)
    return followers


def over(followers: list[Follower]) -> bool:
    return all(follower.told_end for follower in followers)


def join(ground: Ground, followers: list[Follower]) -> None:
    for follower in followers:
        follower.join(ground.rig.subject.limit_s)


def _dead(ground: Ground, name: str, followers: list[Follower]) -> float | None:
    """When the worker had died; None when the jobs ended before."""
    ground.rig.until(lambda: not ground.rig.alive(name) or over(followers))
    return None if ground.rig.alive(name) else time.monotonic()


def _kill_host(ground: Ground, tally: Tally, followers: list[Follower]) -> None:
    """Kills the host of demo-one as soon as a run of it pauses, and notes when its readers heard something again."""
    rig = ground.rig

    def paused() -> bool:
        return "event=failpoint" in rig.log("demo-one")

    rig.until(lambda: paused() or over(followers))
    if not paused() or over(followers):
        return
    reading = [follower for follower in followers if not follower.told_end]
    killed_at = time.monotonic()
    rig.host("demo-one").kill()
    tally.fired += 1
    for follower in reading:
        rig.until(lambda follower=follower: follower.told_end or follower.heard_again(killed_at + 0.05))
    heard = [at for follower in reading if (at := follower.heard_again(killed_at + 0.05))]
    tally.recoveries_s += [min(heard) - killed_at] if heard else []
