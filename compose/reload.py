"""Runs a command, and again whenever a file of the code changes: `reload.py COMMAND …` in the folder of the code.

The command is asked to stop as for any restart, so that what it is doing goes on elsewhere or afterwards. One that ends
by itself, as on a slip in the code, is started again at the next change.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

EVERY_S = 1.0
FOLDERS = ("cli", "db", "dialects", "tasks", "webapi", "workers")


def main(command: list[str]) -> int:
    """Returns 0 after SIGTERM or SIGINT, when the command has ended."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    seen = state()
    process = subprocess.Popen(command)
    try:
        while True:
            time.sleep(EVERY_S)
            if (now := state()) != seen:
                seen = now
                print("reload: the code has changed", file=sys.stderr, flush=True)
                end(process)
                process = subprocess.Popen(command)
    except KeyboardInterrupt:
        end(process)
        return 0


def state() -> dict[str, int]:
    """When each file of the code was last changed; a mounted folder gives no other sign everywhere."""
    files = (Path(at, name) for folder in FOLDERS for at, _, names in os.walk(folder) for name in names)
    return {str(file): file.stat().st_mtime_ns for file in files if file.suffix != ".pyc" and file.exists()}


def end(process: "subprocess.Popen[bytes]") -> None:
    """Asks the process to stop and waits for it. Idempotent."""
    process.terminate()
    process.wait()


def _leave(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
