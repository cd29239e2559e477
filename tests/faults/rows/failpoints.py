"""F06: every failpoint of the product, at a random passage."""

import time

from cli.launcher import lineup
from tasks import failpoints
from tests.faults.checker import Tally
from tests.faults.clients import Party, greedy, seeded
from tests.faults.ground import PAIR, Ground, resumed, starts

_JOBS = 8
_PASSAGES = {"worker.mid_generation": 100, "worker.after_generate_before_xadd": 60, "worker.after_xadd": 60}
_SEWN = {"sweeper.between_update_and_ring": lineup.CONTROL, "worker.after_model_ready": "one"}


def every_failpoint(ground: Ground) -> Tally:
    """F06: each place, three passages of it: the process dies there, and nothing is wrong.

    In the short form one passage of every third place, all of them with three seeds.
    """
    tally = Tally()
    missed = []
    for name in ground.size(failpoints.OF_JOBS, failpoints.OF_JOBS[ground.seed % 3 :: 3]):
        for _ in range(ground.size(3, 1)):
            fired = tally.fired
            _kill_at(ground, name, tally)
            if tally.fired == fired:
                missed.append(name)
    tally.promise(not missed, f"never fired: {', '.join(missed)}")
    return tally


def _kill_at(ground: Ground, name: str, tally: Tally) -> None:
    rig, party = ground.rig, ground.party()
    rig.heal(PAIR)
    victim = _SEWN.get(name) or (lineup.API if name.split(".")[0] in ("api", "dispatch") else "one")
    highest = _PASSAGES.get(name, 3)
    passage = 1 if name in _SEWN else ground.random.randint(1, highest)
    _arm(ground, victim, f"{name}:{passage}")
    tally.injections += 1
    if victim == lineup.CONTROL:
        _provoke(ground, party)
    numbers = starts(ground)
    for i in range(_JOBS):
        party.submit((greedy if i % 2 else seeded)(ground.random.randint(15, 40), next(numbers)))
    died_at = _death(ground, victim)
    if died_at:
        tally.fired += name in rig.log(victim)
        rig.kill(victim)
        rig.again(victim)
    ground.check(party, tally)
    if died_at:
        resumed(tally, party.followers.values(), died_at)


def _arm(ground: Ground, victim: str, told: str) -> None:
    rig = ground.rig
    rig.supervisor.log(victim).write_text("")  # what earlier rounds said
    rig.kill(victim)
    rig.again(victim, FOREBAY_FAILPOINT=told)


def _provoke(ground: Ground, party: Party) -> None:
    """A sweep has something to send when a worker has died; only the control worker sweeps, else another might."""
    rig = ground.rig
    for name in PAIR:
        rig.kill(name)
        rig.again(name, FOREBAY_SWEEP_S="600")
    followers = [party.followers[party.surely(greedy(150, 5 * i))] for i in range(8)]
    rig.until(lambda: all(follower.events for follower in followers), 30)
    rig.kill("one")
    rig.stop("one")


def _death(ground: Ground, victim: str) -> float | None:
    """When the process was seen to have died; None when it lives on. Of the API, one of its processes."""
    rig = ground.rig
    try:
        rig.until(lambda: not rig.alive(victim) or "event=failpoint" in rig.log(victim), 20)
    except TimeoutError:
        return None
    return time.monotonic()
