"""A job's stream as a value: its numbered entries, and what can be known from them alone."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tasks.limits.spent import Spent

STARTED, RESUMED, RESTARTED, PROGRESS, DELTA = "started", "resumed", "restarted", "progress", "delta"
PASSAGES = "passages"


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of a job. `seq` counts from 1 across attempts; `data` is what clients see.

    `tokens` counts tokens: for `started` those of the whole prompt, for `progress` those of the prompt or the texts
    that are evaluated by then, for `delta` the entry's own. `token_ids` are the answer's ids as far as the engine told
    them. Clients see neither.
    """

    seq: int
    type: str
    data: dict[str, Any]
    tokens: int = 0
    token_ids: tuple[int, ...] = ()


@dataclass(slots=True)
class Transcript:
    """The entries so far, in order, without a gap. Only its owner adds; others may read a `snapshot`."""

    entries: list[Entry] = field(default_factory=list)

    def add(self, type: str, data: dict[str, Any], *, tokens: int = 0, token_ids: tuple[int, ...] = ()) -> Entry:
        entry = Entry(len(self.entries) + 1, type, data, tokens, token_ids)
        self.entries.append(entry)
        return entry

    def snapshot(self) -> "Transcript":
        return Transcript(list(self.entries))

    @property
    def deltas(self) -> list[Entry]:
        """The deltas that count: those since the last `restarted`."""
        since = max((entry.seq for entry in self.entries if entry.type == RESTARTED), default=0)
        return [entry for entry in self.entries if entry.type == DELTA and entry.seq > since]

    @property
    def text(self) -> str:
        return "".join(entry.data["text"] for entry in self.deltas)

    @property
    def passages(self) -> list[Any]:
        """What a question's answer rests on."""
        return next((entry.data["passages"] for entry in self.entries if entry.type == PASSAGES), [])

    @property
    def spent(self) -> Spent:
        """What was evaluated of the prompt or the texts, the whole prompt where an answer has begun; and the answer."""
        told = (STARTED, PROGRESS) if any(entry.type == DELTA for entry in self.entries) else (PROGRESS,)
        prompt = max((entry.tokens for entry in self.entries if entry.type in told), default=0)
        return Spent(prompt, sum(entry.tokens for entry in self.deltas))

    def exact(self) -> tuple[tuple[int, ...], str]:
        """The longest beginning of the answer of which every token id is known: those ids, and their text."""
        ids: list[int] = []
        text: list[str] = []
        for entry in self.deltas:
            if len(entry.token_ids) != entry.tokens:
                break
            ids += entry.token_ids
            text.append(entry.data["text"])
        return tuple(ids), "".join(text)

    def stored(self) -> tuple[list[Any], list[int]]:
        """The entries and the exact token ids as PostgreSQL keeps them."""
        return [[entry.type, entry.data, entry.tokens] for entry in self.entries], list(self.exact()[0])


def from_stored(entries: Iterable[Any], token_ids: list[int]) -> Transcript:
    """The inverse of `stored`. Ids beyond the exact beginning stay unknown."""
    transcript, rest = Transcript(), list(token_ids)
    since = max((i for i, (type, _, _) in enumerate(entries) if type == RESTARTED), default=-1)
    for i, (type, data, tokens) in enumerate(entries):
        known = tuple(rest[:tokens]) if type == DELTA and i > since and len(rest) >= tokens else ()
        rest = rest[len(known) :]
        transcript.add(type, data, tokens=tokens, token_ids=known)
    return transcript


def fold(entries: Iterable[Entry]) -> Transcript:
    """A stream's entries, of all its attempts in the order of their ids, each number once."""
    transcript = Transcript()
    for entry in entries:
        if entry.seq == len(transcript.entries) + 1:
            transcript.entries.append(entry)
    return transcript
