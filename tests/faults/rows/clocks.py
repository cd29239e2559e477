"""F23: the clock of PostgreSQL, of the API and of a worker is set by an hour, forth and back."""

import shutil
import struct
import subprocess
import time
from dataclasses import replace
from pathlib import Path

from cli.launcher import lineup
from tests.faults.checker import Tally
from tests.faults.ground import PAIR, Ground, NotHere
from tests.faults.rows.redises import under_load

_SOURCE = Path(__file__).parents[1] / "clock.c"
_HOUR_S = 3600


def jumps(ground: Ground) -> Tally:
    """Each process in turn, an hour ahead, back, and an hour behind: nobody is taken for dead."""
    tally, rig, party = Tally(), ground.rig, ground.party()
    library = _library(rig.folder)
    rig.heal(PAIR)
    shifts = {name: rig.folder / f"clock-{name}" for name in ("postgres", lineup.API, "one")}
    original = rig.servers["postgres"]
    for name, file in shifts.items():
        _set(file, 0)
        own = {"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(file)}
        rig.kill(name)
        if name == "postgres":
            spec = replace(original.spec, env={**original.spec.env, **own})
            rig.servers[name] = replace(original, spec=spec)
            rig.start_server(name)
        else:
            rig.again(name, **own)
    with under_load(ground, party):
        for name in list(shifts) * ground.size(3, 1):
            for seconds in (_HOUR_S, 0, -_HOUR_S, 0):
                tally.injections += 1
                _set(shifts[name], seconds)
                tally.fired += name != "postgres" or abs(_ahead_s(ground) - seconds) < 60
                time.sleep(ground.random.uniform(5, 7))
    ground.check(party, tally)
    crashes = "SELECT count(*) FROM jobs WHERE metadata->>'request' LIKE %s AND crashes > 0"
    taken = rig.rows(crashes, f"{party.label}.%")[0][0]
    tally.promise(taken == 0, f"{taken} jobs were taken from living workers")
    rig.kill("postgres")
    rig.servers["postgres"] = original
    rig.start_server("postgres")
    return tally


def _library(folder: Path) -> Path:
    """Raises `NotHere` without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise NotHere("there is no C compiler to make a clock that can be set")
    library = folder / "clock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, _SOURCE], check=True)
    library.chmod(0o755)
    return library


def _set(file: Path, seconds: int) -> None:
    with file.open("r+b" if file.exists() else "wb") as opened:
        opened.write(struct.pack("l", seconds))
    file.chmod(0o644)


def _ahead_s(ground: Ground) -> float:
    """How far PostgreSQL's clock is ahead of ours."""
    return float(ground.rig.rows("SELECT extract(epoch FROM clock_timestamp())")[0][0]) - time.time()
