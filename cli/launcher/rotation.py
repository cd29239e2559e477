"""Logs of processes that keep them open: they can't be renamed away, only copied and cut.

The processes append (O_APPEND), so that after a cut they go on at the beginning. What one writes between copy and cut,
some microseconds, is lost.
"""

import itertools
import shutil
from contextlib import suppress
from pathlib import Path

LIMIT_BYTES = 16 * 2**20
KEPT = 3


def trim(log: Path, limit_bytes: int = LIMIT_BYTES) -> None:
    """Empties a log that is longer than the limit into `<log>.1`, where the older go to `.2` and `.3` and away.

    Never raises. On a full disk the log's newest part is lost rather than the disk kept full.
    """
    with suppress(OSError):
        if log.stat().st_size <= limit_bytes:
            return
        _keep(log)
        with log.open("r+b") as cut:
            cut.truncate(0)


def _keep(log: Path) -> None:
    older = [log.with_name(f"{log.name}.{number}") for number in range(1, KEPT + 1)]
    with suppress(OSError):
        older[-1].unlink(missing_ok=True)
        for newer, place in reversed(list(itertools.pairwise(older))):
            if newer.exists():
                newer.rename(place)
    try:
        shutil.copyfile(log, older[0])
    except OSError:
        with suppress(OSError):
            older[0].unlink(missing_ok=True)
