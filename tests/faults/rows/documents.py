"""One tenant's documents, as large and as slow as they may be, beside another tenant's few words."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.faults.checker import Tally
from tests.faults.ground import Ground, NotHere
from tests.faults.rig import EMBED, FAST, Rig
from tests.faults.victim import Victim, new_key
from tests.support.catalogs import EMBEDDING_MODEL
from tests.workers import papers

_WORKERS = {"fast-one": FAST, "embed-one": EMBED}
_CHARACTERS = 3_900_000
_INGESTS = 14
_LARGE_INGESTS = 20
_TEXTS = [f"The lamp of room {number} is in the cellar." for number in range(64)]
_UPLOADS, _FILES = 10, 20  # more uploads than the control worker has slots
_TEXT = b"A short text."
_TEXT_WITHIN_S = 5.0


def poison_by_neighbour(ground: Ground) -> Tally:
    """POISON-BY-NEIGHBOUR: fourteen ingests of 3.9 million characters are cancelled and repeated, beside another
    tenant's embed jobs: each of those is done at its first attempt."""
    tally, rig = _begun(ground)
    victim = Victim.of(ground)
    large = {"collection": "large", "documents": [{"text": _distinct_words(ground)}]}
    with _client(rig, new_key(rig, "attacker")) as attacker, _embedding(rig, victim.key) as asked, victim.beside(tally):
        for _ in range(ground.size(5, 1)):
            ingests = [_accepted(attacker.post("/v1/documents", json=large)) for _ in range(_INGESTS)]
            tally.injections += len(ingests)
            time.sleep(ground.size(16, 8))
            tally.fired += len(_open(rig, ingests))
            for ingest in ingests:
                attacker.post(f"/v1/jobs/{ingest}/cancel").raise_for_status()
    rig.until(lambda: not _open(rig, asked))
    tally.jobs = len(asked)
    for status, attempt, code in rig.rows(
        "SELECT status, attempt, error_code FROM jobs WHERE id = ANY(%s)", _uuids(asked)
    ):
        tally.failed += status != "succeeded"
        tally.promise(attempt == 1, f"an embed job took {attempt} attempts, and ended {status} {code or ''}")
    return tally


def ingest_against_search(ground: Ground) -> Tally:
    """INGEST-VS-SEARCH: twenty large ingests, half of them in the batch lane, and hundreds of embed jobs of two
    thousand texts each take all they can of the embedding model: another tenant's searches are answered."""
    tally, rig = _begun(ground)
    victim = Victim.of(ground)
    large = {"collection": "large", "documents": [{"text": _distinct_words(ground)}]}
    many = {"type": "embed", "model": EMBED, "input": {"texts": [f"{text} {_TEXTS[0]}" for text in _TEXTS] * 31}}
    taken: list[str] = []
    with _client(rig, new_key(rig, "attacker")) as attacker, victim.beside(tally):
        for number in range(_LARGE_INGESTS):
            lane = "batch" if number % 2 else "interactive"
            taken.append(_accepted(attacker.post("/v1/documents", json=large | {"lane": lane})))
        taken += [_accepted(attacker.post("/v1/jobs", json=many)) for _ in range(ground.size(400, 40))]
        time.sleep(ground.size(60, 12))
        tally.injections, tally.fired = len(taken), len(_open(rig, taken))
        for job in taken:
            attacker.post(f"/v1/jobs/{job}/cancel").raise_for_status()
    tally.jobs = len(taken)
    return tally


def pdf_turn(ground: Ground) -> Tally:
    """PDF-TURN: uploads of twenty slow PDFs each fill the control worker: another tenant's text of 13 bytes is ready
    before any of them."""
    tally, rig = _begun(ground)
    victim = Victim.of(ground)
    slow = papers.same_page_often(50, papers.shown(*["A line of words that says nothing, but takes its time."] * 1000))
    files = [("file", (f"{number}.pdf", slow)) for number in range(_FILES)]
    texts = []
    with _client(rig, new_key(rig, "attacker")) as attacker, _client(rig, victim.key) as http, victim.beside(tally):
        sent = {"data": {"collection": "slow"}, "files": files}
        uploads = [_accepted(attacker.post("/v1/documents", **sent)) for _ in range(_UPLOADS)]
        for number in range(ground.size(5, 2)):
            began_at = time.monotonic()
            text = {"data": {"collection": "short"}, "files": [("file", (f"{number}.txt", _TEXT))]}
            texts.append(_accepted(http.post("/v1/documents", **text)))
            rig.until(lambda: not _open(rig, texts))
            took_s = time.monotonic() - began_at
            tally.notes.append(f"a text was ready after {took_s:.1f} s")
            tally.aim(took_s < _TEXT_WITHIN_S, f"a text was ready after {took_s:.1f} s")
            tally.fired = len(_open(rig, uploads))
            tally.promise(tally.fired == _UPLOADS, f"{_UPLOADS - tally.fired} uploads of PDFs went before a text")
        for upload in uploads:
            attacker.post(f"/v1/jobs/{upload}/cancel").raise_for_status()
    tally.injections = len(uploads)
    tally.jobs = len(texts)
    ends = rig.rows("SELECT status FROM jobs WHERE id = ANY(%s)", _uuids(texts))
    tally.failed = sum(status != "succeeded" for (status,) in ends)
    return tally


def _begun(ground: Ground) -> tuple[Tally, Rig]:
    if not EMBEDDING_MODEL.is_file():
        raise NotHere(f"{EMBEDDING_MODEL.name} has not been made; see `make embedding`")
    ground.rig.heal(_WORKERS)
    return Tally(), ground.rig


@contextmanager
def _embedding(rig: Rig, key: str) -> Iterator[list[str]]:
    """Submits two embed jobs at a time for as long as the block runs; yields the ids of all."""
    asked: list[str] = []
    gone = threading.Event()

    def submit() -> None:
        with _client(rig, key) as http:
            while not gone.wait(0.2):
                if len(_open(rig, asked)) < 2:
                    job = {"type": "embed", "model": EMBED, "input": {"texts": _TEXTS}}
                    asked.append(_accepted(http.post("/v1/jobs", json=job)))

    thread = threading.Thread(target=submit, daemon=True)
    thread.start()
    try:
        yield asked
    finally:
        gone.set()
        thread.join()


def _client(rig: Rig, key: str) -> httpx.Client:
    return httpx.Client(base_url=rig.url, headers={"Authorization": f"Bearer {key}"}, timeout=60)


def _accepted(answer: httpx.Response) -> str:
    told: dict[str, Any] = answer.raise_for_status().json()
    return str(told["id"])


def _open(rig: Rig, job_ids: list[str]) -> list[Any]:
    """Those that haven't ended."""
    return rig.rows("SELECT id FROM jobs WHERE id = ANY(%s) AND finished_at IS NULL", _uuids(job_ids))


def _uuids(job_ids: list[str]) -> list[str]:
    return [job_id.removeprefix("job_") for job_id in job_ids]


def _distinct_words(ground: Ground) -> str:
    """A text of the most work for whoever cuts it: each of its words is counted."""
    words = (f"{number:x}" for number in range(ground.random.randrange(1 << 20), 1 << 30))
    text, size = [], 0
    for word in words:
        text.append(word)
        size += len(word) + 1
        if size >= _CHARACTERS:
            return " ".join(text)[:_CHARACTERS]
    raise AssertionError("there are numbers enough")
