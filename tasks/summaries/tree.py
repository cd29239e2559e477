"""The tree of a summary: texts are put together in groups, level by level, until one prompt holds them all."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from tasks import errors


@dataclass(frozen=True, slots=True)
class Level:
    """How far a summary has come.

    `texts` are those of the level, in order, None where one is still to be made: by the job's child in the place
    `first` and its own. The first level's are the document's own (`own`). `skipped` counts parts of which nothing could
    be said, `steps` the steps so far and `cached` those of them that had been taken before.
    """

    texts: tuple[str | None, ...]
    own: bool
    first: int
    steps: int = 0
    cached: int = 0
    skipped: int = 0
    places: tuple[tuple[int, int], ...] = field(default=())  # of the document's parts in its text

    @property
    def known(self) -> list[str]:
        """The texts, where all are known."""
        return [text for text in self.texts if text is not None]

    def filled(self, answers: Mapping[int, str | None]) -> "Level":
        """With what its children answered, by their places; None where one had nothing to say."""
        texts = [answers.get(self.first + at) if text is None else text for at, text in enumerate(self.texts)]
        said = tuple(text for text in texts if text is not None)
        lacking = len(texts) - len(said)
        return replace(self, texts=said, first=self.first + len(texts), skipped=self.skipped + lacking)

    def to_json(self) -> dict[str, Any]:
        told = {name: getattr(self, name) for name in ("own", "first", "steps", "cached", "skipped")}
        return {"texts": list(self.texts), **told, "places": [list(place) for place in self.places]}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """What `to_json` gave."""
        told = {name: stored[name] for name in ("own", "first", "steps", "cached", "skipped")}
        places = tuple((begins, ends) for begins, ends in stored["places"])
        return cls(tuple(stored["texts"]), places=places, **told)


def groups(texts: Sequence[str], costs: Sequence[int], budget: int, note: int) -> list[range]:
    """Which texts go into one prompt: as many as have `budget` tokens together, by their costs; only a last one alone.

    A group ends after a text that its own content chooses, once it has two: so where a text is added, taken out or
    changed, the groups behind it are as before. `note` is how many tokens a text has at the most where it was made by
    a step: it says how many a group should have. Raises `ContextLengthExceeded` where two don't go into one.
    """
    every = max(1, budget // max(1, note) // 2)
    found: list[range] = []
    first, cost = 0, 0
    for at, (text, own) in enumerate(zip(texts, costs, strict=True)):
        if at > first and cost + own > budget:
            found.append(range(first, at))
            first, cost = at, 0
        cost += own
        if at > first and _chosen(text, every):
            found.append(range(first, at + 1))
            first, cost = at + 1, 0
    if first < len(texts):
        found.append(range(first, len(texts)))
    if len(found) == len(texts) > 1:
        raise errors.ContextLengthExceeded(f"no two notes have room in {budget} tokens beside what is asked of them")
    return found


def _chosen(text: str, every: int) -> bool:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) % every == 0
