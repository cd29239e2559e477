"""One tenant, or nobody, asks for all it can get of the API; another asks for what it always does."""

import datetime as dt
import itertools
import json
import secrets
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psutil

from cli.launcher import lineup
from tests.faults.checker import Tally
from tests.faults.ground import Ground
from tests.faults.rig import ECHO, FAST, Rig, fresh_connections
from tests.faults.victim import Victim, new_key

_WORKERS = {"fast-one": FAST}
_JSON = "Content-Type: application/json"
_GROWN_MB = 400


@dataclass(slots=True)
class Attacker:
    """Speaks to the API by hand: it has what it asks for written already, so that it costs this machine little."""

    rig: Rig
    key: str
    told: Counter[str] = field(default_factory=Counter)  # statuses

    def request(self, method: str, path: str, *headers: str, body: bytes = b"", key: str | None = None) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {key or self.key}", *headers]
        if body:
            lines += [_JSON, f"Content-Length: {len(body)}"]
        return "\r\n".join((*lines, "", "")).encode() + body

    def connect(self) -> socket.socket:
        target = urlsplit(self.rig.url)
        return socket.create_connection((target.hostname or "", target.port or 0), timeout=60)

    def hold(self, open_: ExitStack, request: bytes) -> socket.socket:
        """Sends it on a connection of its own and leaves the answer there."""
        connection = open_.enter_context(self.connect())
        connection.sendall(request)
        return connection

    @contextmanager
    def flooding(self, threads: int, make: Callable[[], bytes]) -> Iterator[None]:
        """Repeats a request on so many connections, each as fast as it is answered, for as long as the block runs."""
        over = threading.Event()

        def flood() -> None:
            while not over.is_set():
                with suppress(OSError), self.connect() as connection:
                    connection.sendall(make())
                    self.note(connection)

        running = [threading.Thread(target=flood) for _ in range(threads)]
        for thread in running:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in running:
                thread.join()

    def note(self, connection: socket.socket) -> None:
        """Reads a status."""
        with suppress(OSError):
            self.told[connection.recv(4096)[9:12].decode() or "closed"] += 1

    def scheduled(self) -> str:
        """A job that nobody runs before tomorrow. What an earlier row held may have to be noticed gone first."""
        tomorrow = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
        asked = {"type": "generate", "model": ECHO, "input": {"prompt": "x"}, "run_at": tomorrow.isoformat()}
        accepted: list[str] = []

        def ask() -> list[str]:
            answer = http.post("/v1/jobs", json=asked)
            accepted.extend([str(answer.json()["id"])] if answer.status_code == 202 else [])
            return accepted

        with fresh_connections(self.rig.url, self.key) as http:
            self.rig.until(ask)
        return accepted[0]


def waits(ground: Ground) -> Tally:
    """WAITS: 1,024 `?wait=60` by one key, whose clients then leave: others wait, stream and search as ever."""
    tally, attacker, victim = _begun(ground)
    request = attacker.request("GET", f"/v1/jobs/{attacker.scheduled()}?wait=60")
    with victim.beside(tally):
        with ExitStack() as open_:
            held = [attacker.hold(open_, request) for _ in range(1024)]
            time.sleep(ground.size(20, 6))
            _note_answered(attacker, held)
        time.sleep(ground.size(10, 3))
    return _ended(ground, tally, attacker, len(held))


def scheduled_streams(ground: Ground) -> Tally:
    """SCHEDULED-STREAMS: 1,000 streams of one job that is to run tomorrow: nobody's connections to PostgreSQL go."""
    tally, attacker, victim = _begun(ground)
    request = attacker.request("GET", f"/v1/jobs/{attacker.scheduled()}/events")
    before = ground.rig.log(lineup.API)
    with victim.beside(tally), ExitStack() as open_:
        held = [attacker.hold(open_, request) for _ in range(1000)]
        time.sleep(ground.size(25, 8))
        _note_answered(attacker, held)
    log = ground.rig.log(lineup.API)[len(before) :]
    for event in ("database_unreachable", "connections_used_up"):
        tally.promise(event not in log, f"{log.count(event)} times {event}")
    return _ended(ground, tally, attacker, len(held))


def bodies(ground: Ground) -> Tally:
    """BODIES: sixteen connections with four megabytes each that end in 422."""
    tally, attacker, victim = _begun(ground)
    texts = json.dumps({"type": "embed", "model": "nobody", "input": {"texts": ["x" * 2000] * 1900}}).encode()
    request = attacker.request("POST", "/v1/jobs", "Connection: close", body=texts)
    before = _api_bytes(ground)
    with victim.beside(tally), attacker.flooding(16, lambda: request):
        time.sleep(ground.size(25, 8))
    grown = (_api_bytes(ground) - before) / 1e6
    tally.notes.append(f"the API's processes had {before / 1e6:.0f} MB and grew by {grown:.0f}")
    tally.promise(grown < _GROWN_MB, f"the API's processes grew by {grown:.0f} MB")
    tally.promise(attacker.told["422"] > 0, "none was read")
    return _ended(ground, tally, attacker, attacker.told.total())


def no_key(ground: Ground) -> Tally:
    """NO-KEY: thousands of requests that never end, unknown keys, and the API's page, by who has no key at all."""
    tally, attacker, victim = _begun(ground)
    numbers = itertools.count()

    def unknown() -> bytes:
        key = f"fb_{next(numbers) % 10**10:010}_{secrets.token_urlsafe(32)[:43]}"
        return attacker.request("GET", "/v1/jobs", "Connection: close", key=key)

    page = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with victim.beside(tally), ExitStack() as open_:
        held = [attacker.hold(open_, b"POST /v1/jobs HTTP/1.1\r\nX-") for _ in range(ground.size(2200, 1100))]
        with attacker.flooding(8, unknown), attacker.flooding(4, lambda: page):
            until = time.monotonic() + ground.size(25, 8)
            while time.monotonic() < until:
                for connection in held:
                    with suppress(OSError):
                        connection.send(b"x")
                time.sleep(1)
    return _ended(ground, tally, attacker, len(held) + attacker.told.total())


def _begun(ground: Ground) -> tuple[Tally, Attacker, Victim]:
    ground.rig.heal(_WORKERS)
    return Tally(), Attacker(ground.rig, new_key(ground.rig, "attacker")), Victim.of(ground)


def _ended(ground: Ground, tally: Tally, attacker: Attacker, injections: int) -> Tally:
    tally.injections = tally.fired = injections
    tally.notes.append(f"the attacker was told {dict(attacker.told)}")
    return ground.check(ground.party(), tally)


def _api_bytes(ground: Ground) -> int:
    answering = psutil.Process(ground.rig.pid(lineup.API)).children()
    return sum(process.memory_info().rss for process in answering)


def _note_answered(attacker: Attacker, held: list[socket.socket]) -> None:
    """What those were told that were told something by now."""
    for connection in held:
        connection.setblocking(False)
        attacker.note(connection)
