"""A job's stream as a value: its numbered entries, and what can be known from them alone."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tasks.limits.spent import Spent
from tasks.streams import events
from tasks.streams.events import Delta, Event, Passages, Progress, Question, Restarted, Started, ToolCall, ToolResult

Spoken = Delta | ToolCall


@dataclass(frozen=True, slots=True)
class Entry:
    """An event with its number, which counts from 1 across attempts.

    `token_ids` are those of a delta or a tool's call, as far as the engine told them.
    """

    seq: int
    event: Event
    token_ids: tuple[int, ...] = ()

    def plain(self) -> dict[str, Any]:
        """All but its number, as JSON has it, in the stream and in a checkpoint."""
        return events.encode(self.event) | ({"token_ids": self.token_ids} if self.token_ids else {})


def entry(seq: int, plain: Any) -> Entry:
    """The inverse of `plain`; the version before this one wrote `[type, data, tokens, token_ids]`.

    Raises `ValueError` on anything else.
    """
    event = events.decode(plain)
    token_ids = plain[3] if isinstance(plain, list) else plain.get("token_ids", ())
    return Entry(seq, event, tuple(token_ids))


@dataclass(slots=True)
class Round:
    """What a model said at a time, and what the functions that it called answered."""

    said: list[tuple[Spoken, tuple[int, ...]]] = field(default_factory=list)
    results: list[ToolResult] = field(default_factory=list)

    @property
    def calls(self) -> list[ToolCall]:
        return [event for event, _ in self.said if isinstance(event, ToolCall)]

    @property
    def text(self) -> str:
        return "".join(event.text for event, _ in self.said if isinstance(event, Delta))

    @property
    def tokens(self) -> int:
        return sum(event.spent.completion for event, _ in self.said)

    @property
    def answered(self) -> bool:
        """Whether every call has its result: then the model goes on."""
        return bool(self.results) and {call.id for call in self.calls} <= {result.id for result in self.results}


@dataclass(slots=True)
class Transcript:
    """The entries so far, in order, without a gap. Only its owner adds, and nobody takes away: others may read."""

    entries: list[Entry] = field(default_factory=list)

    def add(self, event: Event, token_ids: tuple[int, ...] = ()) -> Entry:
        entry = Entry(len(self.entries) + 1, event, token_ids)
        self.entries.append(entry)
        return entry

    @property
    def spoken(self) -> list[tuple[Spoken, tuple[int, ...]]]:
        """What the model has said, as far as it counts: since the last `Restarted`. Each with its token ids."""
        since = _last_restart(entry.event for entry in self.entries)
        return [(e.event, e.token_ids) for e in self.entries if isinstance(e.event, Delta | ToolCall) and e.seq > since]

    @property
    def deltas(self) -> list[tuple[Delta, tuple[int, ...]]]:
        """What of it is the answer's text."""
        return [(event, token_ids) for event, token_ids in self.spoken if isinstance(event, Delta)]

    @property
    def text(self) -> str:
        return "".join(delta.text for delta, _ in self.deltas)

    @property
    def rounds(self) -> list["Round"]:
        """What was said, with the results of the functions that were called for it; the last is the one under way."""
        rounds = [Round()]
        since = _last_restart(entry.event for entry in self.entries)
        for entry in self.entries:
            event = entry.event
            if entry.seq <= since:
                continue
            if isinstance(event, ToolResult):
                rounds[-1].results.append(event)
            elif isinstance(event, Delta | ToolCall):
                if rounds[-1].results:
                    rounds.append(Round())
                rounds[-1].said.append((event, entry.token_ids))
        return [*rounds, Round()] if rounds[-1].answered else rounds

    @property
    def question(self) -> str | None:
        """What was looked for and answered, where that was a question."""
        return next((e.event.question for e in self.entries if isinstance(e.event, Question)), None)

    @property
    def passages(self) -> list[Any]:
        """What a question's answer rests on."""
        return next((list(e.event.passages) for e in self.entries if isinstance(e.event, Passages)), [])

    @property
    def spent(self) -> Spent:
        """What was evaluated of the prompt or the texts, the whole prompt where an answer has begun; and the answer."""
        told = [entry.event for entry in self.entries]
        prompt = max((event.spent.prompt for event in told if isinstance(event, Progress)), default=0)
        if any(isinstance(event, Delta | ToolCall) for event in told):
            prompt = max([prompt, *(event.prompt_tokens for event in told if isinstance(event, Started))])
        return Spent(prompt, sum(event.spent.completion for event, _ in self.spoken))

    def exact(self) -> tuple[tuple[int, ...], str]:
        """The longest beginning of what was said in which every token's id is known: the ids, and the deltas' text."""
        ids: list[int] = []
        text: list[str] = []
        for event, token_ids in self.spoken:
            if len(token_ids) != event.spent.completion:
                break
            ids += token_ids
            text += [event.text] if isinstance(event, Delta) else []
        return tuple(ids), "".join(text)

    def stored(self) -> tuple[list[Any], list[int]]:
        """The events and the exact token ids as PostgreSQL keeps them."""
        return [events.encode(entry.event) for entry in self.entries], list(self.exact()[0])


def from_stored(stored: Iterable[Any], token_ids: list[int]) -> Transcript:
    """The inverse of `stored`. Ids beyond the exact beginning stay unknown."""
    transcript, told = Transcript(), [events.decode(one) for one in stored]
    since, given = _last_restart(told), 0
    for seq, event in enumerate(told, 1):
        tokens = event.spent.completion if isinstance(event, Delta | ToolCall) and seq > since else 0
        known = tuple(token_ids[given : given + tokens]) if len(token_ids) >= given + tokens else ()
        given += len(known)
        transcript.add(event, known)
    return transcript


def from_plain(plain: Iterable[Any]) -> Transcript:
    """The entries of a checkpoint, the first first."""
    return Transcript([entry(seq, one) for seq, one in enumerate(plain, 1)])


def _last_restart(told: Iterable[Event]) -> int:
    """The number of the last `Restarted`, or 0."""
    return max((seq for seq, event in enumerate(told, 1) if isinstance(event, Restarted)), default=0)


def fold(entries: Iterable[Entry]) -> Transcript:
    """A stream's entries, of all its attempts in the order of their ids, each number once."""
    transcript = Transcript()
    for entry in entries:
        if entry.seq == len(transcript.entries) + 1:
            transcript.entries.append(entry)
    return transcript
