"""PostgreSQL restarted, away, locked and cut off: a 503 that says when to come again, and nothing else."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from cli.launcher import lineup
from tests.faults.checker import Tally
from tests.faults.clients import Ask, Party, greedy, seeded
from tests.faults.ground import PAIR, Ground, NotHere, resumed, starts
from tests.faults.rig import ECHO, Rig
from tests.faults.rows.redises import fill, under_load

_LEASE_S = 4.0
_REFUSED_WITHIN_S = 1.0
_BACK_WITHIN_S = 5.0


def restarted(ground: Ground) -> Tally:
    """F15: PostgreSQL is killed at once, with all its sessions, again and again under load."""
    tally, rig, party = Tally(), ground.rig, ground.party()
    rig.heal(PAIR)
    with under_load(ground, party):
        for _ in range(ground.size(10, 2)):
            tally.injections += 1
            rig.kill("postgres")
            rig.start_server("postgres")
            back_at, answers = time.monotonic(), len(party.statuses)
            rig.until(lambda n=answers: 202 in party.statuses[n:], 60)
            tally.fired += 1
            tally.recoveries_s.append(time.monotonic() - back_at)
            time.sleep(ground.size(8, 5))
    ground.check(party, tally)
    _only_503(party, tally)
    slowest = max(tally.recoveries_s)
    tally.aim(slowest < _BACK_WITHIN_S, f"the first job was accepted {slowest:.1f} s after PostgreSQL was back")
    return tally


def away(ground: Ground) -> Tally:
    """F16: PostgreSQL is away for two minutes: refusals are quick, and what was running ends when it is back."""
    tally, rig, party = Tally(), ground.rig, ground.party()
    rig.heal(PAIR)
    numbers = starts(ground)
    running = [party.followers[party.surely(greedy(300, next(numbers)))] for _ in range(8)]
    rig.until(lambda: all(follower.tokens_seen() > 3 for follower in running))
    rig.kill("postgres")
    tally.injections = tally.fired = 1
    gone_at, before = time.monotonic(), len(party.latencies)
    while time.monotonic() - gone_at < ground.size(120, 15):
        party.submit(greedy(5, next(numbers)), follow=False)
        time.sleep(0.5)
    refusals = party.latencies[before:]
    rig.start_server("postgres")
    back_at = time.monotonic()
    for follower in running:
        follower.join(60)
    tally.recoveries_s.append(time.monotonic() - back_at)
    ground.check(party, tally)
    _only_503(party, tally)
    tally.notes.append(f"{len(refusals)} refusals, the slowest after {max(refusals):.2f} s")
    tally.aim(max(refusals) < _REFUSED_WITHIN_S, f"a refusal took {max(refusals):.1f} s")
    return tally


def locked(ground: Ground) -> Tally:
    """F18: somebody locks the table of jobs for twenty seconds, under load: no living worker is taken for dead."""
    tally, rig, party = Tally(), ground.rig, ground.party()
    rig.heal(PAIR)
    with under_load(ground, party):
        for _ in range(ground.size(3, 1)):
            tally.injections += 1
            with psycopg.connect(rig.servers["postgres"].url) as connection:
                connection.execute("LOCK TABLE jobs")
                tally.fired += 1
                time.sleep(ground.size(20, 9))
            over_at = time.monotonic()
            answers = len(party.statuses)
            rig.until(lambda n=answers: 202 in party.statuses[n:], 60)
            tally.recoveries_s.append(time.monotonic() - over_at)
            time.sleep(3)
    ground.check(party, tally)
    _only_503(party, tally)
    crashes = "SELECT count(*) FROM jobs WHERE metadata->>'request' LIKE %s AND crashes > 0"
    taken = rig.rows(crashes, f"{party.label}.%")[0][0]
    tally.promise(taken == 0, f"{taken} jobs were taken from living workers")
    return tally


def disk_full(ground: Ground) -> Tally:
    """F21: PostgreSQL's disk is full for some seconds, under load: refusals, and then everything as before."""
    tally, rig, party = Tally(), ground.rig, ground.party()
    rig.heal(PAIR)
    filler, numbers = rig.folder / "postgres" / "filler", starts(ground)
    with _on_a_disk_of(rig, filler.parent, "120m"):
        with under_load(ground, party):
            tally.injections += 1
            fill(filler)
            rig.until(lambda: _refused(ground, party, greedy(5, next(numbers))), 60)
            tally.fired += 1
            rig.until(lambda: rig.part("postgres") != "ok", 10)
            tally.notes.append(f"/readyz said of PostgreSQL: {rig.part('postgres')}")
            time.sleep(5)
            filler.unlink()
            if not rig.alive("postgres"):
                rig.start_server("postgres")
            back_at, answers = time.monotonic(), len(party.statuses)
            rig.until(lambda: 202 in party.statuses[answers:], 60)
            tally.recoveries_s.append(time.monotonic() - back_at)
            rig.until(lambda: rig.part("postgres") == "ok", 10)
        ground.check(party, tally)
    _only_503(party, tally)
    return tally


@contextmanager
def _on_a_disk_of(rig: Rig, place: Path, size: str) -> Iterator[None]:
    """Has PostgreSQL's files on a file system of that size. Raises `NotHere`."""
    aside = place.with_name("postgres-aside")
    rig.stop("postgres")
    subprocess.run(["cp", "-a", place, aside], check=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], capture_output=True)
    try:
        if mounted.returncode:
            raise NotHere(f"no tmpfs can be mounted: {mounted.stderr.decode().strip()}")
        subprocess.run(["cp", "-aT", aside, place], check=True)
        rig.start_server("postgres")
        yield
    finally:
        rig.stop("postgres")
        if not mounted.returncode:
            (place / "filler").unlink(missing_ok=True)
            subprocess.run(["cp", "-aT", place, aside], check=True)
            subprocess.run(["umount", place], check=True)
            subprocess.run(["cp", "-aT", aside, place], check=True)
        shutil.rmtree(aside)
        rig.start_server("postgres")


def _refused(ground: Ground, party: Party, ask: Ask) -> bool:
    """Whether a submission is refused; each wants another segment of the log, lest the last one hide the full disk."""
    with suppress(psycopg.Error):
        ground.rig.rows("SELECT pg_switch_wal()")
    party.submit(ask, follow=False)
    return party.statuses[-1:] == [503]


def cut_off(ground: Ground) -> Tally:
    """F14: one worker can't reach PostgreSQL for three leases, Redis it can: another ends its jobs, it says nothing."""
    tally, rig, party = Tally(), ground.rig, ground.party()
    rig.heal({"two": ECHO})
    links = rig.links()
    rig.worker("one", ECHO, links)
    numbers = starts(ground)
    for _ in range(ground.size(5, 1)):
        asks = [(greedy if i % 2 else seeded)(250, next(numbers)) for i in range(8)]
        followers = [party.followers[party.surely(ask)] for ask in asks]
        rig.until(lambda f=followers: all(follower.tokens_seen() > 3 for follower in f))
        tally.injections += 1
        links.postgres.hold()
        held_at = time.monotonic()
        time.sleep(3 * _LEASE_S)
        links.postgres.release()
        for follower in followers:
            follower.join(120)
        resumed(tally, followers, held_at)
        tally.fired += any(2 in follower.attempts for follower in followers)
        time.sleep(3)
    return ground.check(party, tally)


def commits_unanswered(ground: Ground) -> Tally:
    """F19: connections break between a COMMIT and its answer, the API's and a worker's in turn."""
    tally, rig, party = Tally(), ground.rig, ground.party()
    rig.heal({"two": ECHO})
    api, worker = rig.links(), rig.links()
    rig.kill(lineup.API)
    rig.again(lineup.API, **rig.through(api))
    rig.worker("one", ECHO, worker)
    with under_load(ground, party):
        for number in range(ground.size(60, 16)):
            proxy = (api if number % 2 else worker).postgres
            cuts = proxy.cuts
            proxy.cut_after = b"COMMIT"
            tally.injections += 1
            rig.until(lambda p=proxy, n=cuts: p.cuts > n, 30)
            tally.fired += 1
            time.sleep(ground.random.uniform(0.1, 0.6))
    ground.check(party, tally)
    _only_503(party, tally)
    return tally


def _only_503(party: Party, tally: Tally) -> None:
    others = sorted({status for status in party.statuses if status not in (202, 503)})
    tally.promise(not others, f"submissions were answered {others}")
