"""Server-sent events as a client reads them, by a parser of the tests' own."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `id` is None for what has no place in the stream, as `queued`."""

    id: str | None
    type: str
    data: Any

    @property
    def number(self) -> int:
        """Its place among the job's events; 0 where it has none."""
        return int((self.id or "0-0").partition("-")[2])


def read(lines: Iterable[str]) -> Iterator[Event]:
    """The events among the lines of an answer, as they come; comments and hints are left out."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line and name:
            fields[name] = value
        elif not line:
            if "data" in fields:
                yield Event(fields.get("id"), fields["event"], json.loads(fields["data"]))
            fields = {}


def told(text: str) -> list[Event]:
    """The events of a whole answer."""
    return list(read(text.splitlines()))
