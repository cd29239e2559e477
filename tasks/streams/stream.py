"""A job's stream in Redis: one writer at a time, any number of readers. The protocol is in `append.lua`."""

import enum
import json
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tasks.streams import transcript
from tasks.streams.transcript import Entry, Transcript

_ID = re.compile(r"(\d{1,6})-(\d{1,9})")
OPENED = "opened"
PAGE_ENTRIES = 64


class Answer(enum.StrEnum):
    OK = "ok"  # appended, or there already
    FENCED = "fenced"  # a newer attempt has opened the stream
    LOST = "lost"  # Redis lost what was written before; nothing was appended


@dataclass(frozen=True, slots=True)
class Event:
    """An entry as readers get it, with the attempt that wrote it."""

    attempt: int
    entry: Entry

    @property
    def id(self) -> str:
        return f"{self.attempt}-{self.entry.seq}"


def misleads(event: Event, after: int, under: int) -> bool:
    """Whether a reader heard something else under this event's number, of which nothing is left.

    It has read up to number `after`, the last under attempt `under`. When Redis and a worker are lost together, what
    was streamed since the last checkpoint is gone, and a later attempt's first event stands where that was.
    """
    opens = event.entry.type in (transcript.STARTED, transcript.RESUMED)
    return opens and event.entry.seq <= after and event.entry.data["attempt"] > under


def connect(url: str, *, timeout_s: float, max_connections: int) -> redis.Redis:
    """A client that never repeats a command by itself: a repeated write would be a doubled one. Connects lazily."""
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=min(timeout_s, 1.0),
        retry=Retry(NoBackoff(), 0),
        max_connections=max_connections,
    )


def key(job_id: uuid.UUID) -> str:
    return f"forebay:stream:{job_id.hex}"


def parse_id(text: str) -> tuple[int, int] | None:
    """(attempt, seq) of an entry's id, or None when it isn't one."""
    match = _ID.fullmatch(text)
    return (int(match[1]), int(match[2])) if match else None


@dataclass(slots=True)
class Writer:
    """One attempt's pen. `last` is the id it wrote last. Raises redis-py's errors when Redis can't be reached.

    `anew` is for who doesn't know what older attempts wrote, and so can't go on after it: its opening drops that.
    """

    client: redis.Redis
    job_id: uuid.UUID
    attempt: int
    ttl_s: int
    last: str = OPENED
    anew: bool = False

    def open(self, entries: Sequence[Entry] = ()) -> Answer:
        """Shuts older attempts out, then writes `entries`, the whole stream so far. Idempotent."""
        pairs: list[str | bytes | int] = [0, _payload(Entry(0, OPENED, {}))]
        how = "anew" if self.anew else "open"
        answer = self._append(how, [*pairs, *_pairs(entries)], entries[-1].seq if entries else 0)
        self.anew = False
        return answer

    def append(self, entries: Sequence[Entry]) -> Answer:
        """Writes entries that follow the last written. Idempotent. On `lost`, `open` again with everything."""
        return self._append(self.last, _pairs(entries), entries[-1].seq)

    def _append(self, expected: str, pairs: list[str | bytes | int], last_seq: int) -> Answer:
        script = _append_script(self.client)
        answer = Answer(script(keys=[key(self.job_id)], args=[self.attempt, expected, self.ttl_s, *pairs]).decode())
        if answer is Answer.OK:
            self.last = f"{self.attempt}-{last_seq}"
        return answer


def read(client: redis.Redis, job_id: uuid.UUID) -> list[Event]:
    """All that Redis holds of a job's stream, in order, attempts' openings left out."""
    return [event for page in pages(client, job_id) for event in page]


def pages(client: redis.Redis, job_id: uuid.UUID) -> Iterator[list[Event]]:
    """The same a page at a time, each asked for when it is wanted: whoever is slow with one holds no more than that."""
    after = "-"
    while True:
        reply: Any = client.xrange(key(job_id), min=after, count=PAGE_ENTRIES)
        if not reply:
            return
        yield parse(reply)
        after = "(" + reply[-1][0].decode()


def take_over(writer: Writer, checkpoint: Transcript) -> Transcript:
    """Opens the stream for the writer's attempt and returns all that older attempts streamed.

    Where Redis has less than the checkpoint, the checkpoint is published again. Raises redis-py's errors.
    """
    writer.open()
    streamed = transcript.fold(event.entry for event in read(writer.client, writer.job_id))
    if len(streamed.entries) >= len(checkpoint.entries):
        return streamed
    writer.open(checkpoint.entries)
    return checkpoint


def parse(raw: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> list[Event]:
    """Redis' reply as events, attempts' openings left out."""
    events = []
    for raw_id, fields in raw:
        attempt, seq = (int(part) for part in raw_id.split(b"-"))
        if seq:
            type, data, tokens, token_ids = json.loads(fields[b"j"])
            events.append(Event(attempt, Entry(seq, type, data, tokens, tuple(token_ids))))
    return events


def _pairs(entries: Sequence[Entry]) -> list[str | bytes | int]:
    return [part for entry in entries for part in (entry.seq, _payload(entry))]


def _payload(entry: Entry) -> str:
    return json.dumps([entry.type, entry.data, entry.tokens, entry.token_ids], separators=(",", ":"))


@cache
def _source() -> str:
    return (Path(__file__).parent / "append.lua").read_text(encoding="utf-8")


@cache
def _append_script(client: redis.Redis) -> Any:
    return client.register_script(_source())
