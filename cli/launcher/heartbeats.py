"""The heartbeats of workers, as the API tells of them: a process may live on and its worker be dead."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

ASK_EVERY_S = 5.0
SILENT_S = 15.0

Answer = Mapping[str, Any]


@dataclass(slots=True)
class Heartbeats:
    """Which of the workers here have fallen silent. `workers` maps the names of processes to the models they serve.

    A worker counts from its first heartbeat on: before that its model is being loaded, which may take long. While
    PostgreSQL, which takes the heartbeats, isn't well, or its tables can't be read, no worker counts as silent.
    """

    workers: Mapping[str, str]
    _heard_at: dict[str, float] = field(default_factory=dict)
    _from: dict[str, float] = field(default_factory=dict)

    def started_again(self, name: str, now: float) -> None:
        """The process has a successor, which loads its model too; what is heard at first may be the dead one's."""
        self._heard_at.pop(name, None)
        self._from[name] = now + SILENT_S

    def silent(self, answer: Answer | None, now: float) -> list[str]:
        """The processes without a heartbeat for too long; each is told once."""
        if answer is None or (answer["parts"]["postgres"], answer["parts"]["schema"]) != ("ok", "ok"):
            self._heard_at = dict.fromkeys(self._heard_at, now)
            return []
        alive = answer["parts"]["workers"]
        heard = [name for name, model in self.workers.items() if alive.get(model) and now >= self._from.get(name, now)]
        self._heard_at |= dict.fromkeys(heard, now)
        silent = [name for name, heard_at in self._heard_at.items() if now - heard_at > SILENT_S]
        for name in silent:
            del self._heard_at[name]
        return silent


class Listener:
    """Asks again and again on a thread of its own, so that the loop that tends processes waits for nothing."""

    def __init__(self, heartbeats: Heartbeats, ask: Callable[[], Answer | None]) -> None:
        self._heartbeats, self._ask = heartbeats, ask
        self._silent: list[str] = []
        self._dead: list[str] = []
        self._lock = threading.Lock()
        self._gone = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="heartbeats", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._gone.set()

    def died(self, name: str) -> None:
        """The process of that name has died, and is started again."""
        with self._lock:
            self._dead.append(name)

    def silent(self) -> list[str]:
        """What has fallen silent since the last call."""
        with self._lock:
            silent, self._silent = self._silent, []
        return silent

    def _listen(self) -> None:
        while not self._gone.wait(ASK_EVERY_S):
            answer, now = self._ask(), time.monotonic()
            with self._lock:
                for name in self._dead:
                    self._heartbeats.started_again(name, now)
                self._dead.clear()
                self._silent += self._heartbeats.silent(answer, now)
