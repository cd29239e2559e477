"""A job's stream in Redis: one writer at a time, any number of readers. The protocol is in `append.lua`."""

import enum
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tasks.streams import transcript
from tasks.streams.events import Ended, Resumed, Started
from tasks.streams.transcript import Entry, Transcript

_ID = re.compile(r"(\d{1,6})-(\d{1,9})")
_OPENED = "opened"
_OPENING, _AFTER_LOSS = "", "lost"  # what is written where an attempt begins: the script makes the first a life's name
_LIFE = "forebay:streams:life"
_SURELY_S = 2.0  # two clocks differ by less
PAGE_ENTRIES = 64
# Whoever comes after a job's end is told by PostgreSQL, which has all of it by then. The stream takes 4 kB, however
# short it is, and stays for those who are reading it; one that is slower goes on from PostgreSQL too.
ENDED_TTL_S = 60


class AppendResult(enum.StrEnum):
    OK = "ok"  # appended, or there already
    FENCED = "fenced"  # a newer attempt has opened the stream
    LOST = "lost"  # Redis lost what was written before; nothing was appended


class Cursor(NamedTuple):
    """A place in a stream: the attempt that wrote an entry, and the entry's number. Sorts as Redis sorts.

    Of a reader it says which event it had last. `ANY_ATTEMPT` stands for the attempt where it knows the number only.
    """

    attempt: int
    seq: int

    def __str__(self) -> str:
        return f"{self.attempt}-{self.seq}"


START = Cursor(0, 0)
ANY_ATTEMPT = 1_000_000_000


@dataclass(frozen=True, slots=True)
class StreamedEntry:
    """An entry as readers get it, with the attempt that wrote it."""

    attempt: int
    entry: Entry

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.attempt, self.entry.seq)

    @property
    def id(self) -> str:
        return str(self.cursor)


def misleads(streamed: StreamedEntry, had: Cursor) -> bool:
    """True when a reader that has read up to `had` must start over: what it saw from this entry's number on was lost.

    That is so when a later attempt begins (`Started` or `Resumed`) at a number the reader has passed: the events it saw
    there were lost with Redis before they were checkpointed (docs/adr/0005).
    """
    event = streamed.entry.event
    return isinstance(event, Started | Resumed) and streamed.entry.seq <= had.seq and event.attempt > had.attempt


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


def parse_id(text: str) -> Cursor | None:
    """The place that an entry's id names, or None when it isn't an id."""
    match = _ID.fullmatch(text)
    return Cursor(int(match[1]), int(match[2])) if match else None


@dataclass(slots=True)
class Writer:
    """One attempt's hand on its job's stream. `last` is the id it wrote last.

    Raises redis-py's errors when Redis can't be reached. `anew` is for an attempt that couldn't read what older ones
    wrote, and so can't go on after it: its opening drops that. `after_loss` is for one before which entries were lost,
    so that those who come after it know (`is_whole`).

    The stream lives `ttl_s` after what was written last, or `ENDED_TTL_S` after the job's end if that is sooner.
    """

    client: redis.Redis
    job_id: uuid.UUID
    attempt: int
    ttl_s: int
    last: str = _OPENED
    anew: bool = False
    after_loss: bool = False

    def open(self, entries: Sequence[Entry] = ()) -> AppendResult:
        """Shuts older attempts out, then writes `entries`, the whole stream so far. Idempotent."""
        pairs: list[str | bytes | int] = [0, _AFTER_LOSS if self.after_loss else _OPENING]
        how = "anew" if self.anew else "open"
        result = self._append(how, [*pairs, *_pairs(entries)], entries[-1] if entries else None)
        self.anew = False
        return result

    def append(self, entries: Sequence[Entry]) -> AppendResult:
        """Writes entries that follow the last written. Idempotent. On `lost`, `open` again with everything."""
        return self._append(self.last, _pairs(entries), entries[-1])

    def _append(self, expected: str, pairs: list[str | bytes | int], last: Entry | None) -> AppendResult:
        script = _append_script(self.client)
        ttl_s = min(self.ttl_s, ENDED_TTL_S) if last and isinstance(last.event, Ended) else self.ttl_s
        result = AppendResult(
            script(keys=[key(self.job_id), _LIFE], args=[self.attempt, expected, ttl_s, *pairs]).decode()
        )
        if result is AppendResult.OK:
            self.last = f"{self.attempt}-{last.seq if last else 0}"
        return result


def read(client: redis.Redis, job_id: uuid.UUID) -> list[StreamedEntry]:
    """All that Redis holds of a job's stream, in order, attempts' openings left out."""
    return [streamed for page in pages(client, job_id) for streamed in page]


def pages(client: redis.Redis, job_id: uuid.UUID) -> Iterator[list[StreamedEntry]]:
    """What `read` returns, a page at a time, each asked for when it is wanted: a slow reader holds one page only."""
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
    so_far = transcript.fold(streamed.entry for streamed in read(writer.client, writer.job_id))
    if len(so_far.entries) >= len(checkpoint.entries):
        return so_far
    writer.open(checkpoint.entries)
    return checkpoint


def is_whole(client: redis.Redis, job_id: uuid.UUID, begun_at_s: float) -> bool:
    """True when Redis has all that was ever written into the job's stream; False where that can't be told.

    It has lost nothing since the newest attempt that opened the stream did so in this life of Redis; where none is
    there, since this life is older than the job's first attempt, which began at that Unix time. To be asked before an
    attempt opens the stream. Raises redis-py's errors.
    """
    info: Any = client.info("server")
    life = str(info["run_id"])
    for raw_id, fields in _newest_first(client, job_id):
        if raw_id.endswith(b"-0"):
            return bool(fields[b"j"].decode() == life)
    known, _, since = (client.get(_LIFE) or b"").decode().partition(" ")  # type: ignore[union-attr]
    return known == life and float(since) < begun_at_s - _SURELY_S


def _newest_first(client: redis.Redis, job_id: uuid.UUID) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
    before = "+"
    while True:
        reply: Any = client.xrevrange(key(job_id), max=before, count=PAGE_ENTRIES)
        if not reply:
            return
        yield from reply
        before = "(" + reply[-1][0].decode()


def parse(raw: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> list[StreamedEntry]:
    """Redis' reply as entries, attempts' openings left out. Raises `ValueError` or `KeyError` on what isn't ours."""
    found = []
    for raw_id, fields in raw:
        attempt, seq = (int(part) for part in raw_id.split(b"-"))
        if seq:
            found.append(StreamedEntry(attempt, transcript.entry(seq, orjson.loads(fields[b"j"]))))
    return found


def _pairs(entries: Sequence[Entry]) -> list[str | bytes | int]:
    return [part for entry in entries for part in (entry.seq, orjson.dumps(entry.plain()))]


@cache
def _source() -> str:
    return (Path(__file__).parent / "append.lua").read_text(encoding="utf-8")


@cache
def _append_script(client: redis.Redis) -> Any:
    return client.register_script(_source())
