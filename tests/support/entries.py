"""Entries of streams as tests write them, and how they read in a comparison."""

from collections.abc import Iterable

from tasks.limits.spent import Spent
from tasks.streams.events import Delta, Ended, Started
from tasks.streams.stream import StreamedEntry
from tasks.streams.transcript import Entry


def started(prompt_tokens: int = 4, attempt: int = 1) -> Started:
    return Started(attempt, "w1", prompt_tokens)


def said(text: str, tokens: int = 1) -> Delta:
    return Delta(text, Spent(completion=tokens))


def spoken(*texts: str) -> list[Entry]:
    """A stream's entries: its start, then these texts, each of one token."""
    deltas = (Entry(seq, said(text), (seq,)) for seq, text in enumerate(texts, 2))
    return [Entry(1, started()), *deltas]


def told(streamed: Iterable[StreamedEntry]) -> list[str]:
    """What each entry tells, in a word: its event's type, the job's status where it ended."""
    events = [each.entry.event for each in streamed]
    return [event.status if isinstance(event, Ended) else event.type for event in events]
