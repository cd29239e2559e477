"""Compares, when all is quiet, what clients were told with what PostgreSQL holds and with what should have come out.

The words are Jepsen's: `lost` was acknowledged and has no end, `unexpected` was never asked for, `doubled` was asked
for once and is there twice, `recovered` was never acknowledged and is there all the same.
"""

import math
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks import errors
from tasks.streams import transcript
from tests.faults.clients import Ask, Follower, Key, Party
from tests.faults.rig import Rig

_TOLD_WITHIN_S = 20.0
_REREAD = 6  # of a party's streams are read again
_ENDS = ("succeeded", "failed", "cancelled", "expired")

Alone = Mapping[Key, tuple[str, int]]  # what an ask gives when nothing happens: the text, and its tokens


@dataclass(frozen=True, slots=True)
class Job:
    """What PostgreSQL says of one. `usage` are the prompt's and the answer's tokens in its rows of usage."""

    id: str
    request: str
    status: str
    prompt_tokens: int
    completion_tokens: int
    text: str | None
    attempt: int
    code: str | None
    usage: list[list[int]] | None


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
    differing: int = 0  # texts, kept or read, that aren't what they must be
    compared: int = 0  # greedy texts of a model that says now this and now that, beside one that it said alone
    drifted: int = 0  # those of them that differ
    recovered: int = 0
    recoveries_s: list[float] = field(default_factory=list)
    took_s: float | None = None  # the whole row
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


def check(rig: Rig, party: Party, tally: Tally, alone: Alone, limit_s: float) -> Tally:
    """Waits until all jobs of the party have ended and all its readers are done, then compares."""
    open_jobs = "SELECT 1 FROM jobs WHERE metadata->>'request' LIKE %s AND finished_at IS NULL LIMIT 1"
    try:
        rig.until(lambda: not rig.rows(open_jobs, f"{party.label}.%"), limit_s)
    except TimeoutError:
        tally.notes.append("not all jobs ended in time")
    _await_readers(party, tally)
    found = jobs(rig, party)
    _count(party, tally, found)
    said = _said_tokens(rig, party) if any(not ask.echoes for ask in party.asked.values()) else {}
    reread(rig, party, tally)
    for job in found:
        ask = party.asked.get(job.request)
        if ask is None:
            continue
        due = alone.get(ask.key) if _certain(rig, ask) else None
        if job.usage != [[job.prompt_tokens, job.completion_tokens]]:
            tally.usage += job.status in _ENDS
        if job.status == "succeeded" and not ask.echoes:
            tally.usage += not _spent_what_was_said(ask, job, said.get(job.id, 0))
            _count_drift(tally, ask, job, alone.get(ask.key) if due is None else None)
        _compare_end(tally, ask, job, due, cancelled=f"job_{job.id}" in party.cancelled)
        follower = party.followers.get(f"job_{job.id}")
        if follower:
            _compare_stream(tally, follower, due, job.text)
    return tally


def jobs(rig: Rig, party: Party) -> list[Job]:
    """All that the party asked for, as PostgreSQL has them."""
    columns = "replace(j.id::text, '-', ''), metadata->>'request', status, j.prompt_tokens, j.completion_tokens"
    outputs = "coalesce(o.result->>'text', o.result->'message'->>'content'), j.attempt, j.error_code"
    used = "(SELECT array_agg(ARRAY[u.prompt_tokens, u.completion_tokens]) FROM ledger u WHERE u.job_id = j.id)"
    query = f"SELECT {columns}, {outputs}, {used} FROM jobs j LEFT JOIN job_outputs o ON o.job_id = j.id"
    return [Job(*row) for row in rig.rows(f"{query} WHERE metadata->>'request' LIKE %s", f"{party.label}.%")]


def _certain(rig: Rig, ask: Ask) -> bool:
    """Whether its text must be the one it gives alone. What a real model samples goes on after a death as it may."""
    return ask.echoes or (ask.greedy and rig.subject.repeats)


def _said_tokens(rig: Rig, party: Party) -> dict[str, int]:
    """How many tokens the kept deltas of each job came from."""
    query = (
        "SELECT replace(j.id::text, '-', ''), o.entries FROM jobs j JOIN job_outputs o ON o.job_id = j.id"
        " WHERE metadata->>'request' LIKE %s"
    )
    stored = rig.rows(query, f"{party.label}.%")
    return {id: transcript.from_stored(entries, []).spent.completion for id, entries in stored}


def _spent_what_was_said(ask: Ask, job: Job, said: int) -> bool:
    """A chat's white space before its first word is spent and not said, an answer's own end at most one token."""
    unsaid = job.completion_tokens - said
    return 0 <= unsaid <= (1 if ask.type == "generate" else job.completion_tokens) and (
        job.completion_tokens <= ask.params.get("max_tokens", math.inf)
    )


def _count_drift(tally: Tally, ask: Ask, job: Job, alone: tuple[str, int] | None) -> None:
    if alone and ask.greedy:
        tally.compared += 1
        tally.drifted += job.text != alone[0]


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


def reread(rig: Rig, party: Party, tally: Tally) -> None:
    """Holds some streams that were followed to their end against what they say when they are read again."""
    whole = [follower for follower in party.followers.values() if follower.over and not follower.lacks()]
    for follower in whole[:: max(1, len(whole) // _REREAD)]:
        again = Follower(rig.url, rig.key, follower.job_id)
        again.start()
        again.join(_TOLD_WITHIN_S)
        tally.promise(again.heard() == follower.heard(), f"{follower.job_id} reads otherwise when it is read again")


def _count(party: Party, tally: Tally, found: list[Job]) -> None:
    accepted = party.accepted()
    ended = {f"job_{job.id}" for job in found if job.status in _ENDS}
    times = Counter(job.request for job in found)
    tally.jobs += len(accepted)
    tally.lost += len(accepted.keys() - ended)
    tally.unexpected += sum(request not in party.asked for request in times)
    tally.doubled += sum(count - 1 for count in times.values())
    tally.recovered += len(found) - len(accepted)
    tally.notes.append(f"{sum(job.attempt > 1 for job in found)} jobs took more than one attempt")


def _compare_end(tally: Tally, ask: Ask, job: Job, due: tuple[str, int] | None, *, cancelled: bool) -> None:
    if job.status == "cancelled" and cancelled:
        return
    if job.status == "failed" and ask.hostile and job.code not in errors.SYSTEM:
        return
    if job.status != "succeeded":
        tally.failed += 1
        tally.notes.append(f"{job.status}: {job.code}")
    elif due:
        text, tokens = due
        if job.text != text:
            tally.differing += 1
            tally.notes.append(f"{ask.params}: {_difference(job.text or '', text)}")
        tally.usage += job.completion_tokens != tokens


def _compare_stream(tally: Tally, follower: Follower, due: tuple[str, int] | None, text: str | None) -> None:
    numbers = follower.numbers()
    tally.repeats += len(numbers) - len(set(numbers))
    tally.gaps += not follower.told_end or follower.lacks()
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
