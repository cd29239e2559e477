"""A search in vector stores before an answer: what is asked of which, and what of it rests on what was found."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from tasks import errors
from tasks.documents import citing, ranking
from tasks.documents.questions import Passage
from tasks.documents.ranking import SearchTarget
from tasks.keys import Caller
from tasks.vectorstores import stores

MOST_STORES = 16
RESULTS = 10  # of a search that doesn't say how many

Annotation = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FileSearch:
    """What is looked for before an answer: in which stores, how many passages, of which score and attributes."""

    stores: tuple[uuid.UUID, ...]
    most: int = RESULTS
    threshold: float | None = None
    filter: Mapping[str, Any] | None = None
    words_weight: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "stores": [id.hex for id in self.stores],
            "most": self.most,
            "threshold": self.threshold,
            "filter": None if self.filter is None else dict(self.filter),
            "words_weight": self.words_weight,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "FileSearch":
        return cls(**{**stored, "stores": tuple(uuid.UUID(id) for id in stored["stores"])})


def targets(session: Session, caller: Caller, search: FileSearch, path: str) -> list[SearchTarget]:
    """The stores' collections, and that the stores are used now.

    Raises `InvalidField` that names, under `path`, the first store that the tenant doesn't have or that has expired.
    """
    refused = stores.refused(session, caller, search.stores)
    for place, store_id in enumerate(search.stores):
        if store_id in refused:
            raise errors.InvalidField(f"{path}.{place}", refused[store_id])
    stores.use(session, caller, search.stores)
    found = ranking.homes_of(session, caller.tenant_id, [stores.collection_name(id) for id in search.stores])
    if len(found) < len(search.stores):
        raise errors.InvalidField(path, "one of the vector stores was deleted at this moment")
    return found


def merged(found: Sequence[Passage], more: Sequence[Passage], most: int) -> list[Passage]:
    """The best of what several stores have, none with the text of a better one."""
    best: dict[str, Passage] = {}
    for passage in sorted([*found, *more], key=lambda one: -one["score"]):
        best.setdefault(passage["text"], passage)
    return list(best.values())[:most]


def annotations(text: str, passages: Sequence[Passage], question: str) -> list[Annotation]:
    """Which files the answer's sentences rest on: `index` is where such a sentence ends in the text."""
    if not passages or not text:
        return []
    return list(_annotations(citing.cite(text, list(passages), question), passages))


def _annotations(cited: Sequence[citing.Citation], passages: Sequence[Passage]) -> Iterator[Annotation]:
    for sentence in cited:
        files = {}
        for source in sentence["passages"]:
            passage = passages[source["passage"] - 1]
            files[passage["external_id"]] = passage["filename"]
        for file_id, filename in files.items():
            yield {"type": "file_citation", "file_id": file_id, "filename": filename or "", "index": sentence["ends"]}
