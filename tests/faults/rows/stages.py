"""Jobs of several stages whose workers die: one end, one usage row, every chunk once, the passages that were found."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
import psutil

from cli.launcher import lineup
from tasks.jobs import stages
from tests.faults.checker import Tally
from tests.faults.clients import Follower
from tests.faults.ground import Ground, NotHere
from tests.faults.rig import DEMO, EMBED, Rig
from tests.support.catalogs import EMBEDDING_MODEL

_EMBEDDER, _ANSWERER = "embed-one", "demo-one"
_WORKERS = {_EMBEDDER: EMBED, _ANSWERER: DEMO}
_TEXTS = [f"The lamp of room {number} is in the cellar. " * 8 for number in range(80)]
_DOCUMENTS = [{"text": text} for text in _TEXTS[:60]]
_ROOMS = [{"text": text} for text in _TEXTS[:20]]
_ASKED = {"question": "Where is the lamp of room 7?", "collection": "rooms", "top_k": 2}
_PAGE = b"<div>" * 30_000 + b"The lamp is here."


def several(ground: Ground) -> Tally:
    """STAGES: a worker, its engine host, Redis or the control worker is lost under an embed job, an ingest, a question.

    In the short form every third case, all of them with three seeds.
    """
    if not EMBEDDING_MODEL.is_file():
        raise NotHere(f"{EMBEDDING_MODEL.name} has not been made; see `make embedding`")
    scene = Scene(ground.rig, Tally(), f"{ground.seed}-{ground.random.randrange(1 << 32):x}")
    for name in ground.size(list(_CASES), list(_CASES)[ground.seed % 3 :: 3]):
        ground.rig.heal(_WORKERS)
        scene.tally.injections += 1
        broken, fired, began_at = len(scene.tally.broken_promises), scene.tally.fired, time.monotonic()
        _CASES[name](scene)
        held = "BROKEN" if len(scene.tally.broken_promises) > broken else "holds"
        met = "" if scene.tally.fired > fired else ", though it came too late"
        scene.tally.notes.append(f"{name}: {held}{met}, {time.monotonic() - began_at:.0f} s")
    return ground.check(ground.party(), scene.tally)


@dataclass(slots=True)
class Scene:
    """The rig, what is held, and words that make the collections of one playing its own."""

    rig: Rig
    tally: Tally
    label: str
    _passages: list[Any] = field(default_factory=list)

    def post(self, path: str, **body: Any) -> Follower:
        """Any job, and a client that follows it."""
        answer = self._http().post(path, **body)
        assert answer.status_code == 202, answer.text
        follower = Follower(self.rig.url, self.rig.key, str(answer.json()["id"]))
        follower.start()
        return follower

    def embed(self) -> Follower:
        return self.post("/v1/jobs", json={"type": "embed", "model": EMBED, "input": {"texts": _TEXTS}})

    def bring(self, collection: str, documents: list[dict[str, str]]) -> Follower:
        return self.post("/v1/documents", json={"collection": f"{collection}-{self.label}", "documents": documents})

    def passages(self) -> list[Any]:
        """What is found for the question when nothing happens."""
        if not self._passages:
            self.whole(self.bring("rooms", _ROOMS))
            self._passages = self.whole(self.ask())["result"]["passages"]
        return self._passages

    def ask(self, **given: Any) -> Follower:
        """The question, answered with so much chance that it takes long. What is said isn't compared between runs."""
        asked = {**_ASKED, "collection": f"rooms-{self.label}", **given}
        params = {"temperature": 2.0, "top_k": 0, "min_p": 0.0, "seed": 7, "max_tokens": 250}
        return self.post("/v1/jobs", json={"type": "rag", "model": DEMO, "input": asked, "params": params})

    def cancel(self, follower: Follower) -> None:
        self._http().post(f"/v1/jobs/{follower.job_id}/cancel").raise_for_status()

    def whole(self, follower: Follower) -> dict[str, Any]:
        """The job, which is to end well, be told without a gap and be paid for once."""
        job = self.ended(follower)
        self.tally.promise(job["status"] == "succeeded", f"{job['type']} ended {job['status']}: {job['error']}")
        return job

    def ended(self, follower: Follower) -> dict[str, Any]:
        follower.join(self.rig.subject.limit_s)
        job = dict(self._http().get(f"/v1/jobs/{follower.job_id}?wait=30").raise_for_status().json())
        numbers = follower.numbers()
        self.tally.jobs += 1
        self.tally.repeats += len(numbers) - len(set(numbers))
        self.tally.gaps += not follower.told_end or follower.lacks()
        self.tally.restarted += follower.restarts()
        self.tally.usage += self.count("ledger WHERE job_id = %s", follower) != 1
        return job

    def count(self, what: str, follower: Follower) -> int:
        return int(self.rig.rows(f"SELECT count(*) FROM {what}", follower.job_id[4:])[0][0])

    def stored(self, collection: str) -> int:
        """How many of its chunks there are."""
        counted = "SELECT count(*) FROM chunks c JOIN collections k ON k.id = c.collection_id WHERE k.name = %s"
        return int(self.rig.rows(counted, f"{collection}-{self.label}")[0][0])

    def lose(self, victim: str, name: str) -> None:
        """Ends the worker of that name, or its engine host, or has Redis forget everything."""
        if victim == "host":
            self.rig.host(name).kill()
        elif victim == "redis":
            with self.rig.redis() as client:
                client.flushall()
        else:
            (self.rig.stop if victim == "SIGTERM" else self.rig.kill)(name)
            self.rig.again(name)

    def _http(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.rig.key}"}
        return httpx.Client(base_url=self.rig.url, headers=headers, timeout=60)


def _embedding(victim: str, scene: Scene) -> None:
    """Every text has its vector, and each is paid for once."""
    follower, tally = scene.embed(), scene.tally
    scene.rig.until(lambda: "progress" in _types(follower) or follower.told_end)
    tally.fired += not follower.told_end
    scene.lose(victim, _EMBEDDER)
    job, calm = scene.whole(follower), scene.whole(scene.embed())
    vectors = job["result"]["embeddings"]
    tally.promise(len(vectors) == len(_TEXTS), f"{len(vectors)} vectors of {len(_TEXTS)} texts")
    tally.promise(job["usage"] == calm["usage"], f"{job['usage']} for what costs {calm['usage']}")
    tally.promise(job["attempt"] == (2 if victim == "worker" else 1), f"embedded at attempt {job['attempt']}")


def _ingest(victim: str, scene: Scene) -> None:
    """Each document is there, and each of its chunks once."""
    follower, tally = scene.bring(victim, _DOCUMENTS), scene.tally
    scene.rig.until(lambda: scene.stored(victim) > 3 or follower.told_end)
    tally.fired += not follower.told_end
    scene.lose(victim, _EMBEDDER)
    job = scene.whole(follower)
    states = [document["status"] for document in job["result"]["documents"]]
    tally.promise(states == ["ready"] * len(_DOCUMENTS), f"documents ended {sorted(set(states))}")
    stored = scene.stored(victim)
    tally.promise(stored == job["result"]["chunks"], f"{stored} chunks of {job['result']['chunks']}")
    lost = scene.count("job_attempts WHERE job_id = %s AND how = 'lost'", follower)
    tally.promise(lost == int(victim == "worker"), f"{lost} attempts of an ingest were lost by {victim}")


def _extraction(scene: Scene) -> None:
    """The control worker dies in the middle of a page: its child goes with it, and the next reads the page."""
    rig = scene.rig
    files = [("file", ("page.html", _PAGE))]
    follower = scene.post("/v1/documents", data={"collection": f"pages-{scene.label}"}, files=files)
    control = psutil.Process(rig.pid(lineup.CONTROL))
    rig.until(lambda: control.children() or follower.told_end)
    children = control.children()
    scene.tally.fired += bool(children)
    control.kill()  # alone: what it started is to notice
    rig.until(lambda: not any(psutil.pid_exists(child.pid) for child in children))
    rig.again(lineup.CONTROL)
    states = [document["status"] for document in scene.whole(follower)["result"]["documents"]]
    scene.tally.promise(states == ["ready"], f"the page ended {states}")


def _finder(scene: Scene) -> None:
    """Nobody can find passages when the question comes: it waits, and is found by the sweep."""
    due = scene.passages()
    scene.rig.kill(_EMBEDDER)
    follower = scene.ask()
    scene.tally.fired += not follower.told_end
    scene.rig.again(_EMBEDDER)
    scene.tally.promise(scene.whole(follower)["result"]["passages"] == due, "other passages were found")


def _answer(victim: str, scene: Scene) -> None:
    """What was found is in PostgreSQL, and what was read of the answer stays."""
    due, tally = scene.passages(), scene.tally
    follower = scene.ask()
    scene.rig.until(lambda: follower.tokens_seen() > 5 or follower.told_end)
    tally.fired += not follower.told_end
    read = follower.text()
    scene.lose(victim, _ANSWERER)
    result = scene.whole(follower)["result"]
    told = [data["passages"] for _, type, data in follower.heard() if type == "passages"]
    tally.promise(told == [due], "the passages were told otherwise, or again")
    tally.promise(result["passages"] == due, "the answer was made from other passages")
    tally.promise(follower.text() == result["text"], "another answer was read than was kept")
    tally.promise(bool(read) and result["text"].startswith(read), "what was read of the answer did not stay")


def _follow_up(scene: Scene) -> None:
    """The worker dies that makes a follow-up a question of its own: the next makes the same of it."""
    scene.passages()
    messages = [{"role": "user", "content": "Where is the lamp of room 7?"}]
    asked = {"question": "And of room 8?", "messages": messages}
    due = scene.whole(scene.ask(**asked))["result"]["question"]
    follower = scene.ask(**asked)
    rewritten = f"jobs WHERE id = %s AND stage = '{stages.REWRITE}' AND status = 'running'"
    scene.rig.until(lambda: scene.count(rewritten, follower) or follower.told_end)
    scene.tally.fired += not follower.told_end
    scene.lose("worker", _ANSWERER)
    result = scene.whole(follower)["result"]
    scene.tally.promise(result["question"] == due, f"{result['question']} was asked, and {due} before")
    told = [data["question"] for _, type, data in follower.heard() if type == "question"]
    scene.tally.promise(told == [due], "the question was told otherwise, or again")


def _cancelled(scene: Scene) -> None:
    """Between its stages, while the worker that would answer stands still: it ends there, and isn't claimed again."""
    scene.passages()
    scene.rig.freeze(_ANSWERER)
    follower = scene.ask()
    staged = f"jobs WHERE id = %s AND stage = '{stages.GENERATE}'"
    scene.rig.until(lambda: scene.count(staged, follower))
    scene.cancel(follower)
    scene.tally.fired += 1
    scene.rig.thaw(_ANSWERER)
    job = scene.ended(follower)
    scene.tally.promise((job["status"], job["result"]) == ("cancelled", None), f"the cancelled job: {job['status']}")
    scene.tally.promise("delta" not in _types(follower), "a cancelled question was answered")


def _types(follower: Follower) -> list[str]:
    return [type for _, _, type, _ in follower.events]


# In an order of which every third is of another sort.
_CASES: dict[str, Callable[[Scene], None]] = {
    "embedding: worker": partial(_embedding, "worker"),
    "ingest: host": partial(_ingest, "host"),
    "answer: redis": partial(_answer, "redis"),
    "ingest: worker": partial(_ingest, "worker"),
    "answer: host": partial(_answer, "host"),
    "embedding: host": partial(_embedding, "host"),
    "answer: worker": partial(_answer, "worker"),
    "extraction: control worker": _extraction,
    "ingest: SIGTERM": partial(_ingest, "SIGTERM"),
    "question: finder": _finder,
    "question: cancelled between its stages": _cancelled,
    "follow-up: worker": _follow_up,
}
