"""How many threads of computing each model's engine gets: together, on one machine, no more than there are cores."""

import os
from collections.abc import Iterable
from pathlib import Path

from tasks.models.catalog import Model


def each(models: Iterable[Model]) -> int:
    """Threads for each of the models, when all of them run here."""
    computing = [model for model in models if model.engine != "echo" and not model.missing]
    return max(1, _cores() // max(1, len(computing)))


def own(models: Iterable[Model]) -> int:
    """Threads for a worker that nobody told: all that its container may use, where it has a limit of its own, else its
    share of the machine, beside the other models of the catalogue."""
    return limited() or each(models)


def limited(root: Path = Path("/")) -> int | None:
    """Whole cores that the control group of this process may use, at least one; None without a limit (cgroup v2)."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
        group = next(line for line in groups if line.startswith("0::")).removeprefix("0::").strip("/")
        quota, period = (root / "sys/fs/cgroup" / group / "cpu.max").read_text().split()
        return None if quota == "max" else max(1, int(quota) // int(period))
    except (OSError, StopIteration, ValueError):  # another version, or another system
        return None


def _cores() -> int:
    here = os.cpu_count() or 1
    return min(limited() or here, here)
