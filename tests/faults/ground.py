"""What rows stand on: one rig for all of them, clients for each, and what should come out when nothing happens."""

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from cli.launcher import lineup
from tests.faults import checker
from tests.faults.checker import Tally
from tests.faults.clients import Ask, Follower, History, Key, Party, echoed
from tests.faults.rig import DEMO, Rig
from workers.engines import echo

PAIR = {"one": "echo", "two": "echo"}
DEMO_PAIR = {"demo-one": DEMO, "demo-two": DEMO}


class NotHere(Exception):
    """This machine can't do what the row needs; the text says why."""


@dataclass(slots=True)
class Ground:
    """Given to every row: where it plays, its seed, and how much of it is to be played."""

    rig: Rig
    seed: int
    short: bool
    label: str = ""
    undisturbed: dict[Key, tuple[str, int]] = field(default_factory=dict)
    random: Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = Random(f"{self.label}.{self.seed}")

    def size(self, full: Any, short: Any) -> Any:
        return short if self.short else full

    def party(self) -> Party:
        """Clients without a past, their label their own."""
        label = f"{self.label}.{self.seed}.{time.time_ns()}"
        history = History(self.rig.folder / f"history-{label}.jsonl")
        return Party(self.rig.url, self.rig.key, label, history)

    def check(self, party: Party, tally: Tally, limit_s: float = 0) -> Tally:
        for ask in party.asked.values():
            if ask.echoes:
                self.undisturbed[ask.key] = echoed(ask), len(echo._WORD.findall(ask.prompt))
        checker.check(self.rig, party, tally, self.undisturbed, max(limit_s, self.rig.subject.limit_s))
        dead = [name for name in self.rig.supervisor.names() if not self.rig.alive(name) and name != lineup.PREPARE]
        tally.promise(not dead, f"dead, and not by our hand: {', '.join(dead)}")
        return tally

    def learn(self, asks: Iterable[Ask]) -> None:
        """Runs the asks one after the other while nothing happens, and notes what they give."""
        quiet = self.party()
        for ask in asks:
            if ask.key in self.undisturbed:
                continue
            job_id = quiet.surely(ask)
            quiet.followers[job_id].join(self.rig.subject.limit_s)
            _, _, type, job = quiet.followers[job_id].events[-1]
            assert type == "succeeded", job
            self.undisturbed[ask.key] = job["result"]["text"], job["usage"]["completion_tokens"]


Row = Callable[[Ground], Tally]


def resumed(tally: Tally, followers: Iterable[Follower], killed_at: float) -> None:
    """Notes how long after the kill each reader who was in the middle then heard of its job again."""
    for follower in followers:
        was_reading = follower.events and follower.events[0][0] < killed_at < follower.events[-1][0]
        later = [at for attempt, at in follower.attempts.items() if attempt > 1 and at > killed_at]
        if was_reading and later:
            tally.recoveries_s.append(min(later) - killed_at)


def starts(ground: Ground) -> Iterator[int]:
    """Numbers that make prompts different."""
    return itertools.count(ground.random.randrange(10_000))


@contextmanager
def flow(party: Party, make: Callable[[int], Ask], outstanding: int) -> Iterator[None]:
    """Keeps so many jobs under way for as long as the block runs."""
    gone = threading.Event()

    def submit() -> None:
        for number in itertools.count():
            while sum(not follower.told_end for follower in list(party.followers.values())) >= outstanding:
                if gone.wait(0.02):
                    return
            if gone.is_set():
                return
            if party.submit(make(number)) is None:
                gone.wait(0.2)

    thread = threading.Thread(target=submit, daemon=True)
    thread.start()
    try:
        yield
    finally:
        gone.set()
        thread.join()
