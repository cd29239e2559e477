"""Clients that write down what they did, and what they were told, before they go on."""

import io
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import httpx

from cli.client.client import ENDS, Client
from tests.faults.rig import ECHO, FAST, LIMIT_S, fresh_connections
from workers.engines import echo

Key = tuple[str, str, str, str]  # what makes two asks the same

_WORDS = ("the", "sun", "is", "on", "a", "hill", "and", "its", "light", "falls", "over", "every", "stone")


@dataclass(frozen=True, slots=True)
class Ask:
    """What a client asks for; of a chat, `prompt` is the one message. `hostile`: an error of its own is a good end."""

    model: str
    prompt: str
    params: Mapping[str, Any]
    lane: str = "interactive"
    type: str = "generate"
    hostile: bool = False

    def body(self, label: str) -> dict[str, Any]:
        messages = [{"role": "user", "content": self.prompt}]
        given = {"messages": messages} if self.type == "chat" else {"prompt": self.prompt}
        asked = {"model": self.model, "input": given, "params": dict(self.params), "lane": self.lane}
        return {"type": self.type, **asked, "metadata": {"request": label}}

    @property
    def key(self) -> Key:
        return self.model, self.type, self.prompt, json.dumps(self.params, sort_keys=True)

    @property
    def echoes(self) -> bool:
        """Whether no model answers, so that everything it says can be known."""
        return self.model in (ECHO, FAST)

    @property
    def greedy(self) -> bool:
        return bool(self.params.get("temperature") == 0)


def words(number: int, start: int = 0) -> str:
    """A prompt of so many words, which the echo engine says again."""
    return " ".join(_WORDS[(start + i) % len(_WORDS)] + str(start + i) for i in range(number))


def echoed(ask: Ask) -> str:
    """What the echo engine says when nothing happens."""
    said = list(echo._WORD.findall(ask.prompt))
    if ask.params.get("temperature", 0.8) == 0:
        return "".join(said)
    draws = (echo.random.Random(f"{ask.params['seed']}.{n}").randrange(len(said)) for n in range(len(said)))
    return "".join(said[draw] for draw in draws)


@dataclass(slots=True)
class History:
    """One line a step, on the disk before the next is taken: Jepsen's invoke, ok, info (nobody knows) and fail."""

    path: Path
    lines: list[dict[str, Any]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _file: io.FileIO = field(init=False)

    def __post_init__(self) -> None:
        self._file = io.FileIO(self.path, "a")

    def note(self, **line: Any) -> None:
        with self._lock:
            self.lines.append(line)
            self._file.write((json.dumps({"t": time.time(), **line}) + "\n").encode())
        os.fsync(self._file.fileno())  # together with those of other threads


class Follower(threading.Thread):
    """A client that follows a job to its end, through whatever happens. `events` are (seconds, number, type, data)."""

    def __init__(self, url: str, key: str, job_id: str) -> None:
        super().__init__(daemon=True)
        self.job_id = job_id
        self.events: list[tuple[float, int, str, dict[str, Any]]] = []
        self.attempts: dict[int, float] = {}  # when the first event of each was read
        self.told_end = False
        self._url, self._key = url, key

    @property
    def over(self) -> bool:
        return bool(self.events) and self.events[-1][2] in ENDS

    def run(self) -> None:
        after, deadline = "0", time.monotonic() + 4 * LIMIT_S
        with Client(self._url, self._key) as client:
            while not self.told_end and time.monotonic() < deadline:
                try:
                    for event in client.events(self.job_id, after):
                        if event.id is not None:
                            after = event.id
                            self._take(event.id, event.type, event.data)
                        self.told_end = self.told_end or event.type in ENDS
                except (click.ClickException, httpx.HTTPError, ValueError):
                    time.sleep(0.3)

    def _take(self, id: str, type: str, data: dict[str, Any]) -> None:
        attempt, number = (int(part) for part in id.split("-"))
        now = time.monotonic()
        self.attempts.setdefault(attempt, now)
        self.events.append((now, number, type, data))

    @property
    def heard_at(self) -> float:
        return self.events[-1][0] if self.events else 0.0

    def heard(self) -> list[tuple[int, str, dict[str, Any]]]:
        """The events that count: those since the last `restarted` that has no number, and all is told anew."""
        anew = [i + 1 for i, (_, number, type, _) in enumerate(self.events) if type == "restarted" and number == 0]
        return [event[1:] for event in self.events[max(anew, default=0) :]]

    def numbers(self) -> list[int]:
        return [number for number, _, _ in self.heard()]

    def lacks(self) -> bool:
        """Whether any number is missing below the highest."""
        told = set(self.numbers())
        return told != set(range(1, len(told) + 1))

    def tokens_seen(self) -> int:
        return sum(type == "delta" for _, _, type, _ in self.events)

    def restarts(self) -> int:
        return sum(type == "restarted" for _, _, type, _ in self.events)

    def text(self) -> str:
        """What a reader that heeds `restarted` has."""
        text = ""
        for _, _, type, data in self.events:
            text = "" if type == "restarted" else text + data["text"] if type == "delta" else text
        return text

    def heard_again(self, after: float) -> float | None:
        """When the first event came that was read later than that."""
        return next((at for at, _, _, _ in self.events if at > after), None)


@dataclass(slots=True)
class Party:
    """The clients of one row: what they asked, what came back, who follows."""

    url: str
    key: str
    label: str
    history: History
    asked: dict[str, Ask] = field(default_factory=dict)
    followers: dict[str, Follower] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    latencies: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    reader: Callable[[str], Follower] | None = None  # who follows a job, if not just anyone
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self._http = fresh_connections(self.url, self.key)

    def submit(self, ask: Ask, *, follow: bool = True) -> str | None:
        """Asks once; the job's id, or None when the client can't know whether there is one."""
        with self._lock:
            label = f"{self.label}.{len(self.asked)}"
            self.asked[label] = ask
        self.history.note(op="invoke", request=label)
        began = time.monotonic()
        try:
            answer = self._http.post("/v1/jobs", json=ask.body(label))
        except httpx.TransportError as error:
            self.history.note(op="info", request=label, error=type(error).__name__)
            return None
        self.latencies.append(time.monotonic() - began)
        self.statuses.append(answer.status_code)
        if answer.status_code != 202:
            sure = answer.status_code < 500
            self.history.note(op="fail" if sure else "info", request=label, status=answer.status_code)
            return None
        job_id = str(answer.json()["id"])
        self.history.note(op="ok", request=label, job_id=job_id)
        if follow:
            follower = self.reader(job_id) if self.reader else Follower(self.url, self.key, job_id)
            self.followers[job_id] = follower
            follower.start()
        return job_id

    def surely(self, ask: Ask, *, follow: bool = True) -> str:
        """Asks until it is accepted; each time is a request of its own."""
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            if job_id := self.submit(ask, follow=follow):
                return job_id
            time.sleep(0.2)
        raise TimeoutError("no job was accepted")

    def cancel(self, job_id: str) -> None:
        self.cancelled.add(job_id)
        with suppress(httpx.TransportError):
            self._http.post(f"/v1/jobs/{job_id}/cancel")

    def accepted(self) -> dict[str, str]:
        """Request by job's id, of those whose client was told one."""
        return {line["job_id"]: line["request"] for line in self.history.lines if line["op"] == "ok"}


def greedy(number: int, start: int = 0, model: str = ECHO) -> Ask:
    return Ask(model, words(number, start), {"temperature": 0})


def seeded(number: int, start: int = 0, model: str = ECHO) -> Ask:
    return Ask(model, words(number, start), {"temperature": 0.9, "seed": 1000 + start})
