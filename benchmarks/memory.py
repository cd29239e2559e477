"""What each process keeps in memory while nothing happens (proportional set size: shared pages are shared out)."""

import psutil

from benchmarks.stacks import Stack
from benchmarks.tables import Table


def measure(stack: Stack) -> Table:
    rows: list[tuple[str, int, float]] = []
    for role, processes in stack.roles().items():
        sizes = [size for process in processes if (size := _pss_mb(process)) is not None]
        rows.append((role, len(sizes), sum(sizes)))
    rows.append(("the whole", sum(count for _, count, _ in rows), sum(size for _, _, size in rows)))
    return Table("How much memory does it take when idle?", ("", "processes", "PSS, MB"), rows, "")


def _pss_mb(process: psutil.Process) -> float | None:
    try:
        return float(process.memory_full_info().pss) / 1e6
    except psutil.NoSuchProcess:
        return None
