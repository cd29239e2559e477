"""BACKGROUND: responses in the background, each read at one API process and then at another, while API, workers,
engine hosts and Redis are killed in turn."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import httpx
import psutil
from openai import OpenAI

from cli.launcher import lineup
from tests.faults.checker import Tally
from tests.faults.ground import DEMO_PAIR, PAIR, Ground
from tests.faults.rig import DEMO, ECHO, Rig
from tests.support.platform import free_port

_SECOND = "api-two"
_ENDS = ("response.completed", "response.incomplete")
_BROKEN_OFF = ("server_shutting_down", "stream_interrupted")  # what a process says that goes, or can't ask PostgreSQL
_BETWEEN_S = 0.5
_PAUSE_S = 0.1
_ORPHANS = """
SELECT count(*) FROM jobs WHERE started_at IS NOT NULL AND finished_at IS NULL AND NOT (status = 'running' AND EXISTS
    (SELECT FROM workers WHERE workers.id = worker_id AND beat_at > greatest(%s, attempt_started_at)))
"""


class Reader(threading.Thread):
    """One response and its client, who goes on at the other process wherever its stream breaks off, once by itself."""

    def __init__(self, clients: list[OpenAI], label: str, number: int, asked: dict[str, Any], first: int) -> None:
        super().__init__(daemon=True)
        self.asked = {**asked, "metadata": {"background": label, "number": str(number)}}
        self.clients, self.first = itertools.cycle(clients[number % 2 :] + clients[: number % 2]), first
        self.events: list[dict[str, Any]] = []
        self.resumed = 0
        self.error: str | None = None
        self.broke: list[str] = []

    @property
    def id(self) -> str | None:
        return str(self.events[0]["response"]["id"]) if self.events else None

    @property
    def over(self) -> bool:
        return self.error is not None or bool(self.events and self.events[-1]["type"] in _ENDS)

    @property
    def text(self) -> str:
        return "".join(event["delta"] for event in self.events if event["type"] == "response.output_text.delta")

    def run(self) -> None:
        while not self.over:
            try:
                self._read(next(self.clients))
            except Exception as error:  # noqa: BLE001 whatever a client is told of a process's death, it comes again
                self.broke.append(f"{type(error).__name__}: {error}"[:200])
                time.sleep(_PAUSE_S)

    def _read(self, sdk: OpenAI) -> None:
        known = self.id
        most = self.first if known is None else None
        with self._opened(sdk) as stream:
            for event in itertools.islice(stream, most):
                told = event.to_dict()
                if told["type"] == "error":
                    self.error = None if told["code"] in _BROKEN_OFF else f"{told['code']}: {told['message']}"
                    return
                self.events.append(told)
                self.resumed += known is not None
                known = None

    def _opened(self, sdk: OpenAI) -> Any:
        if self.id is None:
            return sdk.responses.create(**self.asked, background=True, stream=True)
        after = self.events[-1]["sequence_number"]
        return sdk.responses.retrieve(self.id, stream=True, starting_after=after)


def background(ground: Ground) -> Tally:
    """Each text is whole, and each number there once, whoever told it; told again, it is the same event by event."""
    tally, rig = Tally(), ground.rig
    rig.heal(DEMO_PAIR | PAIR)
    second = _second_api(rig)
    clients = [_client(rig, rig.url), _client(rig, second)]
    label, tokens = f"{ground.label}.{ground.seed}.{time.time_ns()}", rig.subject.tokens
    asks = itertools.cycle(
        [
            {"model": DEMO, "max_output_tokens": tokens, "temperature": 0.8, "input": "Tell me a story about Anna."},
            {"model": ECHO, "input": " ".join(str(n) for n in range(250)), "temperature": 0},  # takes its time
        ]
    )
    readers = [
        Reader(clients, label, n, asked, ground.random.randint(1, 8))
        for n, asked in zip(range(ground.size(100, 12)), asks, strict=False)
    ]
    for reader in readers:
        reader.start()
    for name, kill in itertools.islice(_killers(rig, second), ground.size(1000, 5)):
        if not _in_the_middle(rig, readers):
            break
        tally.injections += 1
        began_at = time.monotonic()
        tally.fired += kill()
        told = _told(readers)
        with suppress(TimeoutError):
            rig.until(lambda t=told: _told(readers) > t or all(reader.over for reader in readers))
            tally.recoveries_s.append(time.monotonic() - began_at)
        tally.notes.append(name)
        time.sleep(ground.random.uniform(0.5, 1.5) * _BETWEEN_S)
    for reader in readers:
        reader.join(rig.subject.limit_s)
    rig.heal(DEMO_PAIR | PAIR)
    rig.until(lambda: _answers(rig.url))
    _check(rig, label, readers, tally)
    return tally


def _client(rig: Rig, url: str) -> OpenAI:
    return OpenAI(base_url=f"{url}/v1", api_key=rig.key, max_retries=0, timeout=rig.subject.limit_s)


def _second_api(rig: Rig) -> str:
    port = free_port()
    url = f"http://{lineup.HOST}:{port}"
    rig.spawn(replace(lineup.api(port, rig.env), name=_SECOND))
    rig.until(lambda: _answers(url))
    return url


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def _killers(rig: Rig, second: str) -> Iterator[tuple[str, Callable[[], bool]]]:
    """Each of them kills something that runs, and has it back; whether it did."""

    def process(name: str) -> bool:
        rig.kill(name)
        rig.again(name, wait=False)
        return True

    def api(name: str, url: str) -> bool:
        """Once the other one answers: it takes seconds to start."""
        rig.until(lambda: _answers(url))
        return process(name)

    def host(worker: str) -> bool:
        try:
            rig.host(worker).kill()
        except (psutil.NoSuchProcess, StopIteration, ValueError):
            return False
        return True

    def redis() -> bool:
        """Once another worker has what a killed one had: what both knew alone is lost with both (docs/adr/0032)."""
        since = rig.rows("SELECT clock_timestamp()")[0][0]  # who was killed before doesn't beat any more
        rig.until(lambda: rig.rows(_ORPHANS, since)[0][0] == 0)
        rig.kill("redis")
        rig.start_server("redis")
        return True

    return itertools.cycle(
        [
            ("api", lambda: api(lineup.API, second)),
            ("worker", lambda: process("one")),
            ("host", lambda: host("demo-two")),
            ("redis", redis),
            ("second api", lambda: api(_SECOND, rig.url)),
            ("demo worker", lambda: process("demo-one")),
            ("other worker", lambda: process("two")),
        ]
    )


def _told(readers: list[Reader]) -> int:
    return sum(len(reader.events) for reader in readers)


def _in_the_middle(rig: Rig, readers: list[Reader]) -> bool:
    """Whether something is being told now: waits for that, and until all is over."""

    def speaks() -> bool:
        return any(reader.text and not reader.over for reader in readers)

    rig.until(lambda: speaks() or all(reader.over for reader in readers))
    return speaks()


def _check(rig: Rig, label: str, readers: list[Reader], tally: Tally) -> None:
    tally.jobs = len(readers)
    again = _client(rig, rig.url)
    for reader in readers:
        if not reader.over or reader.error or reader.id is None:
            tally.lost += 1
            tally.notes.append(f"{reader.id}: {reader.error or 'not over'} {reader.broke[-1:]}")
            continue
        numbers = [event["sequence_number"] for event in reader.events]
        tally.gaps += numbers != sorted(set(numbers)) or numbers != list(range(len(numbers)))
        last = reader.events[-1]["response"]
        whole = "".join(part["text"] for item in last["output"] for part in item["content"])
        tally.differing += reader.text != whole
        tally.failed += again.responses.retrieve(reader.id).to_dict() != last
        tally.differing += [
            event.to_dict() for event in again.responses.retrieve(reader.id, stream=True)
        ] != reader.events
    tally.promise(all(reader.resumed for reader in readers), "some were never resumed")
    ended = rig.rows("SELECT status, count(*) FROM jobs WHERE metadata->>'background' = %s GROUP BY 1", label)
    tally.promise([status for status, _ in ended] == ["succeeded"], f"jobs ended as {ended}")
    more = sum(count for _, count in ended) - len(readers)
    tally.promise(more >= 0, f"{-more} jobs are not there")
    tally.notes.append(f"{more} asked for twice, since the first answer was lost with its process")
    tally.notes.append(f"resumed {sum(reader.resumed for reader in readers)} times")
