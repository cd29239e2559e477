"""Compares, when all is quiet, what clients were told with what PostgreSQL holds and with what should have come out.

The words are Jepsen's: `lost` was acknowledged and has no end, `unexpected` was never asked for, `doubled` was asked
for once and is there twice, `recovered` was never acknowledged and is there all the same.
"""

import math
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.faults.clients import Ask, Follower, Party
from tests.faults.rig import LIMIT_S, Rig

_TOLD_WITHIN_S = 20.0

Expected = Mapping[tuple[str, str, str], tuple[str, int]]  # by an ask's key: the text, and its tokens


@dataclass(slots=True)
class Tally:
    """One row of the table. What must be nought is in `broken`."""

    injections: int = 0
    fired: int = 0
    jobs: int = 0
    lost: int = 0
    unexpected: int = 0
    doubled: int = 0
    failed: int = 0  # ended, but not as they would have
    gaps: int = 0
    repeats: int = 0
    restarted: int = 0
    usage: int = 0  # rows missing, too many, or for another number of tokens
    differing: int = 0  # texts, kept or read, that aren't the undisturbed ones
    recovered: int = 0
    recoveries_s: list[float] = field(default_factory=list)
    broken_promises: list[str] = field(default_factory=list)  # of the row's own
    may_restart: bool = False  # where a worker and Redis may be lost together
    missed_aims: list[str] = field(default_factory=list)  # of time, which a busy machine may miss
    notes: list[str] = field(default_factory=list)

    @property
    def broken(self) -> bool:
        wrong = self.lost, self.unexpected, self.doubled, self.failed, self.gaps, self.repeats, self.usage
        misled = self.restarted and not self.may_restart
        return any((*wrong, self.differing, misled)) or bool(self.broken_promises) or self.fired < 1

    def promise(self, kept: bool, told: str) -> None:
        """Notes what the row itself asserts."""
        if not kept:
            self.broken_promises.append(told)

    def aim(self, met: bool, told: str) -> None:
        """Notes how fast it was to be."""
        if not met:
            self.missed_aims.append(told)

    def recovery(self, rank: float) -> float | None:
        """The seconds within which that share of the recoveries was over."""
        ordered = sorted(self.recoveries_s)
        return ordered[max(0, math.ceil(rank * len(ordered)) - 1)] if ordered else None


def check(rig: Rig, party: Party, tally: Tally, expected: Expected, limit_s: float = LIMIT_S) -> Tally:
    """Waits until all jobs of the party have ended and all its readers are done, then compares."""
    like = f"{party.label}.%"
    open_jobs = "SELECT 1 FROM jobs WHERE metadata->>'request' LIKE %s AND finished_at IS NULL LIMIT 1"
    try:
        rig.until(lambda: not rig.rows(open_jobs, like), limit_s)
    except TimeoutError:
        tally.notes.append("not all jobs ended in time")
    _await_readers(party, tally)
    columns = "replace(j.id::text, '-', ''), metadata->>'request', status, j.prompt_tokens, j.completion_tokens"
    outputs = "o.result->>'text', j.attempt, j.error_code"
    used = "(SELECT array_agg(ARRAY[u.prompt_tokens, u.completion_tokens]) FROM usage u WHERE u.job_id = j.id)"
    query = f"SELECT {columns}, {outputs}, {used} FROM jobs j LEFT JOIN job_outputs o ON o.job_id = j.id"
    found = rig.rows(f"{query} WHERE metadata->>'request' LIKE %s", like)
    _count(party, tally, found)
    for id, request, status, prompt_tokens, completion_tokens, text, _, code, usage in found:
        ask = party.asked.get(request)
        cancelled = f"job_{id}" in party.cancelled
        if ask is None:
            continue
        if usage is None or len(usage) != 1 or usage[0] != [prompt_tokens, completion_tokens]:
            tally.usage += status in ("succeeded", "failed", "cancelled", "expired")
        _compare_end(tally, ask, expected, status, text, completion_tokens, code, cancelled=cancelled)
        follower = party.followers.get(f"job_{id}")
        if follower:
            _compare_stream(tally, follower, expected.get(ask.key), text)
    return tally


def _await_readers(party: Party, tally: Tally) -> None:
    """A reader that is told nothing for long, though all has ended, is one that was left hanging."""
    ended_at = time.monotonic()
    for follower in party.followers.values():
        while follower.is_alive() and time.monotonic() - max(ended_at, follower.heard_at) < _TOLD_WITHIN_S:
            follower.join(0.1)
        if follower.is_alive():
            last = follower.events[-1][1:3] if follower.events else None
            tally.promise(False, f"the reader of {follower.job_id} hung after {last}")
            follower.join(60)


def _count(party: Party, tally: Tally, found: list[tuple[object, ...]]) -> None:
    accepted = party.accepted()
    ended = {f"job_{row[0]}" for row in found if row[2] in ("succeeded", "failed", "cancelled", "expired")}
    times = Counter(row[1] for row in found)
    tally.jobs += len(accepted)
    tally.lost += len(accepted.keys() - ended)
    tally.unexpected += sum(request not in party.asked for request in times)
    tally.doubled += sum(count - 1 for count in times.values())
    tally.recovered += len(found) - len(accepted)
    again = sum(int(str(row[6])) > 1 for row in found)
    tally.notes.append(f"{again} jobs took more than one attempt")


def _compare_end(
    tally: Tally,
    ask: Ask,
    expected: Expected,
    status: str,
    text: str | None,
    completion_tokens: int,
    code: str | None,
    *,
    cancelled: bool,
) -> None:
    if status == "cancelled" and cancelled:
        return
    if status != "succeeded":
        tally.failed += 1
        tally.notes.append(f"{status}: {code}")
        return
    if ask.key in expected:
        due, tokens = expected[ask.key]
        if text != due:
            tally.differing += 1
            tally.notes.append(f"{ask.params}: {_difference(text or '', due)}")
        tally.usage += completion_tokens != tokens


def _compare_stream(tally: Tally, follower: Follower, due: tuple[str, int] | None, text: str | None) -> None:
    numbers = follower.numbers()
    tally.repeats += len(numbers) - len(set(numbers))
    tally.gaps += not follower.told_end or sorted(set(numbers)) != list(range(1, len(set(numbers)) + 1))
    tally.restarted += follower.restarts()
    if follower.over and follower.events[-1][2] == "succeeded":
        if follower.text() != text:
            tally.differing += 1
            tally.notes.append(f"read: {_difference(follower.text(), text or '')}")
    elif due and not due[0].startswith(follower.text()):
        tally.differing += 1


def _difference(one: str, other: str) -> str:
    at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return f"differs at character {at}: {one[at : at + 20]!r} for {other[at : at + 20]!r}"
