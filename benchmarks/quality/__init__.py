"""How well questions are answered from documents: sixty of them, asked of a running platform.

The corpus beside this file is forty documents of a small town. Of every question it is known what is right and which
chunk says so, or that none does.
"""

import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.tables import Table

FOLDER = Path(__file__).parent
COLLECTION = "quality"
FILES_AT_ONCE = 20  # of a request
FOUND = 5  # passages that are looked at

Job = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question. `answer` is how what is right may be spelt, none where nobody knows; `says` stands in the chunk of
    `file` that says so, and `history` is what was said before, the user first."""

    ask: str
    answer: tuple[str, ...] = ()
    file: str = ""
    says: str = ""
    history: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return "absent" if not self.answer else "follow-up" if self.history else "question"

    def body(self, **given: Any) -> Job:
        """The job that asks it, greedily."""
        roles = ("user", "assistant")
        said = [{"role": roles[place % 2], "content": text} for place, text in enumerate(self.history)]
        asked = {"question": self.ask, "collection": COLLECTION, **({"messages": said} if said else {}), **given}
        return {"type": "rag", "input": asked, "params": {"temperature": 0, "max_tokens": 60}}

    def is_in(self, passage: Job) -> bool:
        """Whether the passage is of the chunk that says it."""
        return passage["filename"] == self.file and self.says in passage["text"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a question: whether its chunk was found, and put to the model; was it right, and cited right."""

    asked: Asked
    result: Job
    found: bool

    @property
    def read(self) -> bool:
        return any(map(self.asked.is_in, self.result["passages"]))

    @property
    def right(self) -> bool:
        return any(spelt.casefold() in self.result["text"].casefold() for spelt in self.asked.answer)

    @property
    def cited(self) -> bool:
        cited = (source["passage"] for citation in self.result["citations"] for source in citation["passages"])
        return any(self.asked.is_in(self.result["passages"][number - 1]) for number in cited)

    @property
    def misleads(self) -> bool:
        """Whether it is wrong and a sentence of it rests on a passage all the same; a refusal isn't wrong."""
        rests = any(citation["passages"] for citation in self.result["citations"])
        return not self.right and not self.refused and rests

    @property
    def refused(self) -> bool:
        return not self.result["answered"]


def read() -> list[Asked]:
    """The sixty questions."""
    told = tomllib.loads((FOLDER / "questions.toml").read_text(encoding="utf-8"))["questions"]
    return [Asked(**{name: tuple(v) if isinstance(v, list) else v for name, v in each.items()}) for each in told]


def bring(http: httpx.Client) -> None:
    """Brings the corpus into its collection; does nothing where it is there."""
    if http.get(f"/v1/collections/{COLLECTION}").status_code == 200:
        return
    files = [("file", (path.name, path.read_bytes())) for path in sorted((FOLDER / "corpus").iterdir())]
    sent = [
        http.post("/v1/documents", data={"collection": COLLECTION}, files=files[first : first + FILES_AT_ONCE])
        for first in range(0, len(files), FILES_AT_ONCE)
    ]
    documents = [document for accepted in sent for document in _ended(http, accepted)["result"]["documents"]]
    failed = [document for document in documents if document["status"] != "ready"]
    assert not failed, failed


def ask(http: httpx.Client, questions: Iterable[Asked], **given: Any) -> list[Outcome]:
    """Asks them all, one after the other's being accepted; `given` is what else each job's input says."""
    sent = [(asked, http.post("/v1/jobs", json=asked.body(**given))) for asked in questions]
    outcomes = []
    for asked, accepted in sent:
        job = _ended(http, accepted)
        assert job["status"] == "succeeded", (asked.ask, job["error"])
        outcomes.append(Outcome(asked, job["result"], _is_found(http, asked, job["result"]["question"])))
    return outcomes


def table(outcomes: Sequence[Outcome], model: str) -> Table:
    """What is asked for of each kind of question, as counts."""
    kinds = dict.fromkeys(each.asked.kind for each in outcomes)
    rows = []
    for kind in kinds:
        own = [each for each in outcomes if each.asked.kind == kind]
        told: list[Callable[[Outcome], bool]] = [lambda each: each.misleads, lambda each: each.refused]
        if kind != "absent":
            told = [lambda each: each.found, lambda each: each.read, *_ANSWERED, *told]
        counts = [sum(map(is_so, own)) for is_so in told]
        rows.append((kind, len(own), *([None] * (6 - len(counts))), *counts))
    columns = (
        "kind",
        "asked",
        f"chunk in the first {FOUND}",
        "in the prompt",
        "right",
        "cited right",
        "wrong yet cited",
        "refused",
    )
    return Table(f"How well does {model} answer?", columns, rows)


_ANSWERED: tuple[Callable[[Outcome], bool], ...] = (lambda each: each.right, lambda each: each.right and each.cited)


def _is_found(http: httpx.Client, asked: Asked, question: str) -> bool:
    if not asked.answer:
        return False
    found = http.post("/v1/search", json={"query": question, "collection": COLLECTION, "top_k": FOUND})
    return any(map(asked.is_in, found.json()["results"]))


def _ended(http: httpx.Client, accepted: httpx.Response) -> Job:
    assert accepted.status_code == 202, accepted.text
    job: Job = accepted.json()
    while job["status"] in ("queued", "running"):
        job = http.get(job["links"]["self"], params={"wait": 60}).json()
    return job
