"""What a process of its own prints, for what must be looked at from within one."""

import subprocess
import sys

from cli.launcher import lineup

_LIMIT_S = 20.0


class Failed(Exception):
    """It didn't end well, or not in time; the text is its last words."""


def answer(code: str) -> str:
    """What Python prints that runs this code beside the program's files. Raises `Failed`."""
    argv = [sys.executable, "-c", code]
    try:
        done = subprocess.run(argv, cwd=lineup.ROOT, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"no answer within {_LIMIT_S:g} s") from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"]
        raise Failed(said[-1])
    return done.stdout.strip()
