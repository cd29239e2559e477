"""Clients as docs tell them to be: each asks for jobs, follows each to its end, and notes what it did not expect."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.operate.installation import CHAT, ECHO
from tests.support import events

ENDS = frozenset({"succeeded", "failed", "cancelled", "expired"})
_WORDS = ("the", "sun", "is", "on", "a", "hill", "and", "its", "light", "falls", "over", "every", "stone")
_AGAIN = (502, 503, 504)  # a proxy's, and ours that say when to come again
_PATIENCE_S = 60.0
_PAUSE_S = 0.2


@dataclass(slots=True)
class Told:
    """What one client was told of one job: its text by the stream's deltas, its events' numbers, its end."""

    job_id: str
    model: str
    prompt: str
    text: str = ""
    numbers: list[int] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    end: dict[str, Any] = field(default_factory=dict)
    resumed: int = 0

    def mistakes(self) -> list[str]:
        """What isn't as promised, in words."""
        found = []
        if self.numbers != list(range(1, len(self.numbers) + 1)):
            found.append(f"its events are numbered {self.numbers[:5]}…{self.numbers[-5:]}")
        if "restarted" in self.types:
            found.append("it was told anew")
        if self.end.get("status") != "succeeded":
            found.append(f"it ended {self.end.get('status')}: {self.end.get('error')}")
        elif self.text != self.end["result"]["text"] or (self.model == ECHO and self.text != self.prompt):
            found.append(f"it was told {self.text!r} of {self.end['result']['text']!r}")
        return [f"{self.job_id}: {mistake}" for mistake in found]


@dataclass(slots=True)
class Crowd:
    """Clients at the same time, until `enough` jobs have ended and `stop` was called.

    With one address, that of a proxy, every error that reaches a client is a mistake. With several, a client that finds
    one closed goes to the next, as a proxy would.
    """

    addresses: Sequence[str]
    key: str
    models: Sequence[str]
    size: int
    enough: int
    words: int = 20  # of a prompt at least, which the echo says again
    told: list[Told] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)
    turned_away: int = 0
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _begun: int = 0

    def begin(self) -> None:
        for place in range(self.size):
            thread = threading.Thread(target=self._go_on, args=(place,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Returns once every client has seen its last job's end."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def resumed(self) -> int:
        return sum(told.resumed for told in self.told)

    def _go_on(self, place: int) -> None:
        try:
            with httpx.Client(headers={"Authorization": f"Bearer {self.key}"}, timeout=30) as http:
                while (number := self._next()) is not None:
                    self._follow(http, self._submit(http, number))
        except Exception as error:  # noqa: BLE001 the thread's boundary
            self._note(f"client {place} gave up: {type(error).__name__}: {error}")

    def _next(self) -> int | None:
        with self._lock:
            if self._over.is_set() and self._begun >= self.enough:
                return None
            self._begun += 1
            return self._begun

    def _note(self, mistake: str) -> None:
        with self._lock:
            self.mistakes.append(mistake)

    def _submit(self, http: httpx.Client, number: int) -> Told:
        model = self.models[number % len(self.models)]
        said = " ".join(_WORDS[(number + i) % len(_WORDS)] + str(number + i) for i in range(self.words + number % 40))
        prompt = f"User: Tell me a story about {said[:40]}.\nAssistant:" if model == CHAT else said
        params = {"max_tokens": 40 if model == CHAT else 2000, "temperature": 0}
        body = {"type": "generate", "model": model, "input": {"prompt": prompt}, "params": params}
        answer = self._patiently(http, "POST", "/v1/jobs", number, json=body, headers={"Idempotency-Key": f"{number}"})
        told = Told(answer["id"], model, prompt)
        with self._lock:
            self.told.append(told)
        return told

    def _patiently(self, http: httpx.Client, method: str, path: str, turn: int, **request: Any) -> dict[str, Any]:
        """What the API answers, asked as often as it takes. Raises `RuntimeError` after a minute."""
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            try:
                answer = http.request(method, self._address(turn) + path, **request)
            except httpx.TransportError as error:
                self._turn_away(f"{method} {path}: {type(error).__name__}")
            else:
                if answer.status_code < 300:
                    return dict(answer.json())
                if answer.status_code not in _AGAIN:
                    raise RuntimeError(f"{answer.status_code}: {answer.text[:200]}")
                self._turn_away(f"{method} {path}: {answer.status_code}")
            turn += 1
            time.sleep(_PAUSE_S)
        raise RuntimeError(f"{method} {path}: no answer within {_PATIENCE_S:g} s")

    def _address(self, turn: int) -> str:
        return self.addresses[turn % len(self.addresses)]

    def _turn_away(self, what: str) -> None:
        with self._lock:
            self.turned_away += 1
        if len(self.addresses) == 1:
            self._note(f"a client saw {what}")

    def _follow(self, http: httpx.Client, told: Told) -> None:
        """Reads the job's stream to its end, from the last id again as often as the stream ends before."""
        last, turn, deadline = "0-0", len(self.told), time.monotonic() + 4 * _PATIENCE_S
        while not told.end:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{told.job_id} has no end; its last event was {last}")
            try:
                last = self._read(http, told, self._address(turn), last)
            except httpx.TransportError as error:
                self._turn_away(f"a stream break off: {type(error).__name__}")
                time.sleep(_PAUSE_S)
            told.resumed += not told.end
            turn += 1
        for mistake in told.mistakes():
            self._note(mistake)

    def _read(self, http: httpx.Client, told: Told, address: str, last: str) -> str:
        """Reads one answer to its end; the id of the last event."""
        path = f"{address}/v1/jobs/{told.job_id}/events"
        with http.stream("GET", path, headers={"Last-Event-ID": last}) as answer:
            if answer.status_code in _AGAIN:
                self._turn_away(f"{answer.status_code} for a stream")
                return last
            if answer.status_code != 200:
                raise RuntimeError(f"{answer.status_code} for a stream")
            for event in events.read(answer.iter_lines()):
                if event.id is None:
                    continue
                last = event.id
                told.numbers.append(event.number)
                told.types.append(event.type)
                told.text += event.data["text"] if event.type == "delta" else ""
                told.end = event.data if event.type in ENDS else {}
        return last
