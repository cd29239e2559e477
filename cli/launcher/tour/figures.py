"""What the record of an ended job says in figures."""

import datetime as dt
from collections.abc import Sequence

from cli.client.client import Job


def waited_s(job: Job) -> float:
    """Seconds from when the job was accepted to its first start."""
    return (_time(job["started_at"]) - _time(job["created_at"])).total_seconds()


def rate(job: Job) -> float:
    """Tokens a second from the job's first start to its end."""
    seconds = (_time(job["finished_at"]) - _time(job["started_at"])).total_seconds()
    return tokens(job) / max(seconds, 0.001)


def tokens(job: Job) -> int:
    """Those the job made; of a job that makes none, those it read."""
    usage = job["usage"] or {}
    return int(usage.get("completion_tokens") or usage.get("prompt_tokens") or 0)


def span_s(jobs: Sequence[Job]) -> float:
    """Seconds from when the first of the jobs was accepted to when the last has ended."""
    first = min(_time(job["created_at"]) for job in jobs)
    return (max(_time(job["finished_at"]) for job in jobs) - first).total_seconds()


def _time(shown: str) -> dt.datetime:
    return dt.datetime.fromisoformat(shown)
