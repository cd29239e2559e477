"""A batch's lines as jobs that wait, some of which begin alike."""

import datetime as dt
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from db.session import Sessions
from tasks import ids
from tasks.batches import order
from tasks.jobs import attempts, family, stages
from tasks.jobs.family import Child
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Onward
from tasks.keys import Caller
from tasks.models import catalog
from tasks.streams.transcript import Transcript
from tests import tables


@dataclass(slots=True)
class Grouped:
    """Lines called by their groups, each of which is a letter: of `AAB` they are `A0`, `A1` and `B0`. All are queued.

    `asked` says what is submitted for a line, given its name.
    """

    sessions: Sessions
    caller: Caller
    letters: str
    asked: Callable[[str], Mapping[str, Any]] = lambda name: {}
    lines: dict[str, uuid.UUID] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parent = tables.running(self.sessions, self.caller, lane="batch")
        ends_at = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
        with self.sessions.begin() as session:
            children = []
            for place, letter in enumerate(self.letters):
                number = self.letters[:place].count(letter)
                line = order.line_id(parent.job_id, ends_at, (ord(letter), number), place)
                self.lines[f"{letter}{number}"] = line
                submitted = tables.submission(**self.asked(f"{letter}{number}"))
                plan = replace(tables.plan(session, self.caller, submitted), job_id=line)
                children.append(Child(plan, place))
            family.adopt(session, parent.job_id, parent.attempt, children)
        with self.sessions.begin() as session:
            waits = Onward(stages.GENERATE, catalog.CONTROL, wait_for_children=True)
            assert attempts.advance(session, parent.job_id, parent.attempt, Transcript(), waits)

    def name(self, line: uuid.UUID) -> str:
        return next(name for name, each in self.lines.items() if each == line)

    def groups(self, letters: str) -> Sequence[bytes]:
        return [ids.group_of(self.lines[f"{letter}0"]) for letter in letters]

    def dispatch(self, *names: str) -> None:
        tables.dispatch(self.sessions, *(self.lines[name] for name in names))

    def run(self, *names: str) -> None:
        """Has these run in another worker."""
        self.dispatch(*names)
        for name in names:
            assert tables.claim(self.sessions, self.lines[name], worker_id="another")

    def end(self, name: str) -> None:
        with self.sessions.begin() as session:
            tables.put(session, self.lines[name], Status.SUCCEEDED)

    def column(self, name: str) -> dict[str, Any]:
        """By line."""
        return {line: tables.column(self.sessions, job_id, name) for line, job_id in self.lines.items()}

    def are(self, status: str) -> list[str]:
        return [name for name, found in self.column("status").items() if found == status]
