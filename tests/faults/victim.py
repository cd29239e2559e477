"""A tenant who does nothing wrong: it asks for a chat, a search and the rest, again and again, while a row attacks.

victim = Victim.of(ground)
with victim.beside(tally):
    ...  # the attack, for as long as it is to be seen: `ground.size(20, 8)` seconds
"""

import itertools
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from cli.client.client import parse
from db import session
from tasks import keys
from tests.faults.checker import Tally
from tests.faults.ground import Ground
from tests.faults.rig import FAST, Rig

TENANT = "victim"
_LIMIT_S = 30.0  # what takes longer has failed
_PAUSE_S = 0.05  # between two requests of a kind
_TOLERATED = {0.5: (3, 0.05), 0.99: (10, 0.3)}  # by rank: so many times the undisturbed, and never less than seconds


def new_key(rig: Rig, tenant: str) -> str:
    """A key of this tenant, who is made where there is none."""
    engine = session.open_engine(rig.env["FOREBAY_DATABASE_URL"], pool_size=1)
    with session.open_sessions(engine).begin() as opened:
        made = keys.create(opened, pepper=rig.env["FOREBAY_KEY_PEPPER"], tenant=tenant, name="faults")
    engine.dispose()
    return made.key


@dataclass(slots=True)
class Asked:
    """What a while of asking gave: by the kind of request how long each took, and what didn't come out right."""

    times_s: dict[str, list[float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def at(self, kind: str, rank: float) -> float:
        """The seconds within which that share of the requests of a kind was answered; infinite where none was."""
        ordered = sorted(self.times_s.get(kind, ()))
        return ordered[max(0, math.ceil(rank * len(ordered)) - 1)] if ordered else math.inf

    def told(self, kind: str) -> str:
        return f"{1000 * self.at(kind, 0.5):.0f}/{1000 * self.at(kind, 0.99):.0f}"


@dataclass(slots=True)
class Victim:
    """One tenant with a key of its own; its jobs are of `model`. Each kind of request has a thread that repeats it."""

    url: str
    key: str
    model: str
    undisturbed_s: float
    embeds: bool = False
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @classmethod
    def of(cls, ground: Ground, model: str = FAST) -> "Victim":
        """The victim of a row whose workers run already. It searches where a worker for embeddings does."""
        # By its name: a worker that was just ended counts as one for as long as its lease.
        embeds = any(name.startswith("embed") for name in ground.rig.supervisor.names())
        victim = cls(ground.rig.url, new_key(ground.rig, TENANT), model, ground.size(15, 5), embeds)
        victim._bring_what_is_searched()
        return victim

    @contextmanager
    def beside(self, tally: Tally) -> Iterator[Asked]:
        """Asks for a while undisturbed, then for as long as the block runs, and holds in the tally what is promised:
        nothing fails, and it is at most so many times slower. Yields what the time of the block gave so far."""
        with self.asking() as before:
            time.sleep(self.undisturbed_s)
        with self.asking() as during:
            yield during
        for failure in before.failures[:3]:
            tally.promise(False, f"failed undisturbed: {failure}")
        tally.promise(not during.failures, f"{len(during.failures)} failed, as {'; '.join(during.failures[:3])}")
        for kind in before.times_s:
            tally.notes.append(f"{kind} p50/p99: {before.told(kind)} ms before, {during.told(kind)} ms during")
            self._compare(tally, kind, before, during)

    @contextmanager
    def asking(self) -> Iterator[Asked]:
        """Asks for everything for as long as the block runs."""
        asked, over = Asked(), threading.Event()
        kinds = self._kinds()
        threads = [threading.Thread(target=self._repeat, args=(kind, ask, asked, over)) for kind, ask in kinds.items()]
        for thread in threads:
            thread.start()
        try:
            yield asked
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def _kinds(self) -> dict[str, Callable[[httpx.Client], None]]:
        kinds = {"chat": self._chat, "submit": self._submit, "stream": self._stream, "list": self._list}
        return kinds | {"search": self._search} if self.embeds else kinds

    def _repeat(self, kind: str, ask: Callable[[httpx.Client], None], asked: Asked, over: threading.Event) -> None:
        times = asked.times_s.setdefault(kind, [])
        with self._client() as http:
            while not over.wait(_PAUSE_S):
                began = time.monotonic()
                try:
                    ask(http)
                except (httpx.HTTPError, AssertionError) as error:
                    asked.failures.append(f"{kind}: {type(error).__name__} {error}"[:200])
                times.append(time.monotonic() - began)

    def _compare(self, tally: Tally, kind: str, before: Asked, during: Asked) -> None:
        for rank, (times, least_s) in _TOLERATED.items():
            bound = max(times * before.at(kind, rank), least_s)
            took = during.at(kind, rank)
            tally.aim(took <= bound, f"{kind} p{100 * rank:.0f} {1000 * took:.0f} ms, not {1000 * bound:.0f}")

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=_LIMIT_S)

    def _chat(self, http: httpx.Client) -> None:
        """To the end of its answer."""
        job = self._ask(http).json()
        shown = http.get(f"/v1/jobs/{job['id']}?wait=30").json()
        assert shown.get("status") == "succeeded", shown

    def _submit(self, http: httpx.Client) -> None:
        self._ask(http)

    def _stream(self, http: httpx.Client) -> None:
        """Of a new job, to its last event."""
        job = self._ask(http).json()
        with http.stream("GET", f"/v1/jobs/{job['id']}/events") as answer:
            told = [event.type for event in parse(answer.iter_lines())]
        assert (answer.status_code, told[-1:]) == (200, ["succeeded"]), (answer.status_code, told)

    def _list(self, http: httpx.Client) -> None:
        answer = http.get("/v1/jobs?limit=20")
        assert answer.status_code == 200, answer.text

    def _search(self, http: httpx.Client) -> None:
        answer = http.post("/v1/search", json={"collection": TENANT, "query": f"harbour {next(self._numbers)}"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["results"], answer.text

    def _ask(self, http: httpx.Client) -> httpx.Response:
        messages = [{"role": "user", "content": f"hill {next(self._numbers)}"}]
        asked = {"type": "chat", "model": self.model, "input": {"messages": messages}, "params": {"max_tokens": 4}}
        answer = http.post("/v1/jobs", json=asked)
        assert answer.status_code == 202, answer.text
        return answer

    def _bring_what_is_searched(self) -> None:
        if not self.embeds:
            return
        with self._client() as http:
            given = {"collection": TENANT, "documents": [{"text": "The harbour lies below the hill."}]}
            job = http.post("/v1/documents", json=given).json()
            shown = http.get(f"/v1/jobs/{job['id']}?wait=30").json()
            assert shown["status"] == "succeeded", shown
