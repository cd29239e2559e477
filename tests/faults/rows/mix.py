"""MIX: clients that submit, follow, leave, come again and cancel, while anything fails at any moment."""

import signal
import time
from collections.abc import Callable

import psutil
import psycopg

from cli.launcher import lineup
from tests.faults.checker import Tally
from tests.faults.clients import Ask, Party, greedy, seeded
from tests.faults.ground import DEMO_PAIR, PAIR, Ground, flow, starts
from tests.faults.rig import Rig
from tests.faults.rows.floods import Fickle
from tests.faults.rows.kills import long_asks

_WORKERS = PAIR | DEMO_PAIR
_OUTSTANDING = 16
_BETWEEN_S = (1.5, 3.5)
_CANCELLED = 0.1  # of the jobs
_FICKLE = 0.3  # of the readers


def random_mix(ground: Ground) -> Tally:
    """Ten minutes (half a minute in the short form) of faults drawn from the seed."""
    tally, rig, party = Tally(may_restart=True), ground.rig, ground.party()
    rig.heal(_WORKERS)
    asks, numbers = long_asks(ground, 8, rig.subject.tokens), starts(ground)

    def make(number: int) -> Ask:
        if number % 5 == 0:
            return asks[number // 5 % len(asks)]
        return (greedy if number % 2 else seeded)(ground.random.randint(10, 120), next(numbers))

    party.reader = _reader(ground, party)
    until = time.monotonic() + ground.size(600, 30)
    with flow(party, make, _OUTSTANDING):
        while time.monotonic() < until:
            name = ground.random.choice(list(FAULTS))
            FAULTS[name](ground)
            tally.injections += 1
            tally.fired += 1
            tally.notes.append(name)
            _cancel_some(ground, party)
            time.sleep(ground.random.uniform(*_BETWEEN_S))
            tend(rig)
    over_at = time.monotonic()
    tend(rig)
    rig.until(lambda: all(rig.beats(name) for name in _WORKERS) or tend(rig))
    rig.until(lambda: rig.status("/healthz") == 200)
    ground.check(party, tally, 240)
    tally.recoveries_s.append(time.monotonic() - over_at)
    told = {name: tally.notes.count(name) for name in FAULTS}
    tally.notes = [note for note in tally.notes if note not in FAULTS]
    tally.notes.append(f"{told}; {len(party.cancelled)} cancels; {tally.recovered} recovered")
    return tally


def tend(rig: Rig) -> None:
    """What a supervisor does: whatever has died is started again."""
    for name in rig.servers:
        if not rig.alive(name):
            rig.start_server(name)
    for name in (lineup.API, lineup.CONTROL, *_WORKERS):
        if not rig.alive(name):
            rig.again(name, wait=False)


def _reader(ground: Ground, party: Party) -> Callable[[str], Fickle]:
    """Readers of whom some leave every few events."""

    def make(job_id: str) -> Fickle:
        patience = ground.random.randint(2, 9) if ground.random.random() < _FICKLE else 1_000_000
        return Fickle(party.url, party.key, job_id, patience)

    return make


def _cancel_some(ground: Ground, party: Party) -> None:
    for job_id, follower in list(party.followers.items()):
        if not follower.told_end and ground.random.random() < _CANCELLED:
            party.cancel(job_id)


def _worker(ground: Ground) -> str:
    tend(ground.rig)
    return ground.random.choice(list(_WORKERS))


def _kill(ground: Ground) -> None:
    ground.rig.kill(_worker(ground))


def _kill_host(ground: Ground) -> None:
    name = ground.random.choice(list(DEMO_PAIR))
    tend(ground.rig)
    for child in psutil.Process(ground.rig.pid(name)).children():
        child.kill()


def _freeze(ground: Ground) -> None:
    """For longer than a lease, so that it wakes as a zombie."""
    name = _worker(ground)
    ground.rig.freeze(name)
    time.sleep(ground.random.uniform(3, 8))
    ground.rig.thaw(name)


def _deploy(ground: Ground) -> None:
    name = _worker(ground)
    ground.rig.stop(name)
    ground.rig.again(name, wait=False)


def _kill_control(ground: Ground) -> None:
    ground.rig.kill(lineup.CONTROL)


def _kill_api(ground: Ground) -> None:
    ground.rig.kill(lineup.API)


def _kill_redis(ground: Ground) -> None:
    ground.rig.kill("redis")
    time.sleep(ground.random.uniform(0, 2))
    ground.rig.start_server("redis")


def _flush(ground: Ground) -> None:
    with ground.rig.redis() as client:
        client.flushall()


def _break_connections(ground: Ground) -> None:
    with ground.rig.redis() as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal")


def _sleep_redis(ground: Ground) -> None:
    with ground.rig.redis() as client:
        client.execute_command("DEBUG", "SLEEP", ground.random.uniform(0.5, 4))


def _kill_postgres(ground: Ground) -> None:
    ground.rig.kill("postgres", signal.SIGQUIT)
    time.sleep(ground.random.uniform(0, 2))
    ground.rig.start_server("postgres")


def _lock_jobs(ground: Ground) -> None:
    with psycopg.connect(ground.rig.servers["postgres"].url) as connection:
        connection.execute("LOCK TABLE jobs")
        time.sleep(ground.random.uniform(1, 5))


FAULTS: dict[str, Callable[[Ground], None]] = {
    "worker killed": _kill,
    "host killed": _kill_host,
    "worker frozen": _freeze,
    "worker told to go": _deploy,
    "control worker killed": _kill_control,
    "API killed": _kill_api,
    "Redis killed": _kill_redis,
    "Redis emptied": _flush,
    "Redis' connections broken": _break_connections,
    "Redis frozen": _sleep_redis,
    "PostgreSQL killed": _kill_postgres,
    "jobs locked": _lock_jobs,
}
