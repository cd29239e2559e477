"""Passages: chunks that a search found, as answers show them, joined where they stand side by side."""

import itertools
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypedDict

from db.documents.chunks import Key, Told
from tasks import ids

_WIDEST_GAP = 100  # characters between two chunks that are shown as one


class PassageObject(TypedDict):
    """A part of a document that was found: a chunk, or several that stand side by side."""

    document_id: str
    chunk: Annotated[int, "Its number in the document, from 0; of several the one that was found."]
    score: Annotated[float, "What the order is by: how well it answers, by meaning and by words together, 0 to 1."]
    similarity: Annotated[float, "Cosine similarity to the query, -1 to 1."]
    words: Annotated[float, "How much it has of the query's words, the rare ones most: 1 if each once, 0 to 1."]
    text: str
    title: str | None
    filename: str | None
    external_id: str | None
    metadata: dict[str, Any]
    path: Annotated[list[str], "The headings that it stands under, the highest first."]
    header: Annotated[str | None, "What heads the columns of the table that it goes on with."]
    page: Annotated[int | None, "Its page, from 1, where the document has pages."]
    begins: Annotated[int | None, "Where it begins in the document's text, in characters."]
    ends: Annotated[int | None, "Where it ends in the document's text: the character behind its last."]


@dataclass(frozen=True, slots=True)
class Passage:
    """What was found. `score` is what the order is by, `similarity` and `words` what it is made of."""

    document_id: uuid.UUID
    chunk: int
    score: float
    similarity: float
    words: float
    text: str
    title: str | None
    filename: str | None
    external_id: str | None
    metadata: dict[str, Any]
    path: tuple[str, ...]
    header: str | None
    page: int | None
    begins: int | None
    ends: int | None

    @property
    def key(self) -> Key:
        return self.document_id, self.chunk

    def as_json(self) -> PassageObject:
        """The passage as answers, events and results show it."""
        return {
            "document_id": ids.show(self.document_id, ids.DOCUMENT),
            "chunk": self.chunk,
            "score": self.score,
            "similarity": self.similarity,
            "words": self.words,
            "text": self.text,
            "title": self.title,
            "filename": self.filename,
            "external_id": self.external_id,
            "metadata": self.metadata,
            "path": list(self.path),
            "header": self.header,
            "page": self.page,
            "begins": self.begins,
            "ends": self.ends,
        }


@dataclass(frozen=True, slots=True)
class Scored:
    """A chunk's place in the fused order, and what it is made of."""

    key: Key
    score: float
    similarity: float
    words: float


def passage(scored: Scored, told: Told) -> Passage:
    return Passage(
        document_id=told.document_id,
        chunk=told.number,
        score=round(scored.score, 6),
        similarity=round(scored.similarity, 6),
        words=round(scored.words, 6),
        text=told.text,
        title=told.title,
        filename=told.filename,
        external_id=told.external_id,
        metadata=told.metadata,
        path=tuple(told.path),
        header=told.header,
        page=told.page,
        begins=told.begins,
        ends=told.ends,
    )


def different(passages: Sequence[Passage]) -> list[Passage]:
    """The passages without those whose text a better one has too."""
    first = {one.text: one.key for one in reversed(passages)}
    return [one for one in passages if first[one.text] == one.key]


def beside(passages: Sequence[Passage], count: int) -> set[Key]:
    """The keys of the passages' neighbours, `count` to each side; some may not be there."""
    found = {one.key for one in passages}
    near = {
        (document_id, number + step)
        for document_id, number in found
        for step in range(-count, count + 1)
        if number + step >= 0
    }
    return near - found


def joined(passages: Sequence[Passage], neighbours: Mapping[Key, Told]) -> list[Passage]:
    """Each passage with its neighbours of the same document; what then stands side by side is one, with the best score.

    In the order of their scores, as they were.
    """
    parts = {one.key: one for one in passages}
    for key, told in neighbours.items():
        parts.setdefault(key, passage(Scored(key, 0.0, 0.0, 0.0), told))
    found = {one.key: place for place, one in enumerate(passages)}
    runs: list[list[Passage]] = []
    for key in sorted(parts):
        if runs and _follows(runs[-1][-1], parts[key]):
            runs[-1].append(parts[key])
        else:
            runs.append([parts[key]])
    runs = [run for run in runs if any(one.key in found for one in run)]
    whole = [_run(run, min((one for one in run if one.key in found), key=lambda one: found[one.key])) for run in runs]
    return sorted(whole, key=lambda one: found[one.key])


def _follows(one: Passage, other: Passage) -> bool:
    """Whether the one is the chunk before the other, with no more than some white space between them."""
    if one.key != (other.document_id, other.chunk - 1):
        return False
    return one.ends is None or other.begins is None or other.begins - one.ends <= _WIDEST_GAP


def _run(run: Sequence[Passage], best: Passage) -> Passage:
    """Chunks that follow each other as one passage; what two of them share stands there once.

    Each of its characters is as far from its beginning as in the document.
    """
    first, text = run[0], run[0].text
    for before, after in itertools.pairwise(run):
        text += _rest(before, after)
    last = run[-1].ends
    return replace(
        best, text=text, path=first.path, header=first.header, page=first.page, begins=first.begins, ends=last
    )


def _rest(before: Passage, after: Passage) -> str:
    """What `after` adds to the text of `before`."""
    if before.ends is None or after.begins is None:
        return f"\n{after.text}"
    if after.begins < before.ends:
        return after.text[before.ends - after.begins :]
    gap = after.begins - before.ends  # white space, of which a chunk has none around it
    return "\n\n"[:gap].ljust(gap) + after.text
