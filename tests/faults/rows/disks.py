"""Disks that are full: of the logs."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.launcher import lineup
from tests.faults.checker import Tally
from tests.faults.clients import greedy
from tests.faults.ground import PAIR, Ground, NotHere, flow, starts
from tests.faults.rig import Rig

_FULL_S = 10.0
_BEATS_WITHIN_S = 10.0


def logs_full(ground: Ground) -> Tally:
    """DISK-FULL-LOGS: no worker can log for ten seconds: jobs go on, and heartbeats once there is room."""
    tally, rig, party = Tally(), ground.rig, ground.party()
    rig.heal({})
    names = (*PAIR, lineup.CONTROL)
    with _on_a_small_disk(rig, names) as filler:
        rig.heal(PAIR)
        numbers = starts(ground)
        with flow(party, lambda _: greedy(20, next(numbers)), outstanding=8):
            tally.injections += 1
            tally.fired += _fill(filler)
            time.sleep(ground.size(6, 1) * _FULL_S)
            served = sum(follower.told_end for follower in list(party.followers.values()))
            filler.unlink()
            room_at = time.monotonic()
            rig.until(lambda: all(rig.beats(name) for name in names), _BEATS_WITHIN_S)
            tally.recoveries_s.append(time.monotonic() - room_at)
        tally.promise(served > 0, "no job ended while the disk was full")
        ground.check(party, tally)
    return tally


@contextmanager
def _on_a_small_disk(rig: Rig, names: tuple[str, ...]) -> Iterator[Path]:
    """Has the logs of these processes on a disk of a megabyte; gives a file to fill it with. Raises `NotHere`."""
    disk = rig.folder / "logs-disk"
    disk.mkdir(exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        raise NotHere(f"no tmpfs can be mounted: {mounted.stderr.decode().strip()}")
    logs = [rig.supervisor.log(name) for name in names]
    try:
        for name, log in zip(names, logs, strict=True):
            rig.stop(name)
            log.unlink(missing_ok=True)
            log.symlink_to(disk / log.name)
        rig.spawn(rig.specs[lineup.CONTROL])
        yield disk / "filler"
    finally:
        for name, log in zip(names, logs, strict=True):
            rig.stop(name)
            log.unlink(missing_ok=True)
        subprocess.run(["umount", disk], check=True)
        rig.spawn(rig.specs[lineup.CONTROL])


def _fill(filler: Path) -> bool:
    """Writes until there is no room."""
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return True
