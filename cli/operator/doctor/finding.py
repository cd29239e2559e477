"""What a look at one part of the installation found."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import redis

from db.session import Sessions
from tasks.settings import Settings


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"  # it works, and will not always
    WRONG = "wrong"  # something doesn't work


@dataclass(frozen=True, slots=True)
class Finding:
    """`seen` is how the part is, `advice` what to do about it; there is none where all is well."""

    part: str
    level: Level
    seen: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Installation:
    """What is looked at: an installation's servers and settings as its processes have them, and its addresses.

    `folder` is where its files are on this machine: the data folder of a `forebay up`, else the working directory.
    `flower` is None where nobody said that there is one.
    """

    settings: Settings
    sessions: Sessions
    streams: redis.Redis
    broker: redis.Redis
    folder: Path
    api: str
    flower: str | None


Check = Callable[[Installation], Iterable[Finding]]


def ok(part: str, seen: str) -> Finding:
    return Finding(part, Level.OK, seen)


def warning(part: str, seen: str, advice: str) -> Finding:
    return Finding(part, Level.WARNING, seen, advice)


def wrong(part: str, seen: str, advice: str) -> Finding:
    return Finding(part, Level.WRONG, seen, advice)
