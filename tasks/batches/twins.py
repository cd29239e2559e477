"""Equal lines of a tenant run once: which are equal, and may have one answer.

Two lines are equal where all that is written down of them is, but for what they are called. They may have one answer
where the same would be said again: nothing is drawn, or what is drawn is drawn by a seed that the line gives; vectors
and moderations always. The first of them in a batch has a job; the others, its twins, are answered by that, whatever
comes of it. Later batches take its answer over, as long as they would be answered by the same model.
"""

import base64
import hashlib
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks import strictjson
from tasks.jobs.requests import Stored, Submission

_RULES = 1  # of what is put to a model for a line, and kept of its answer: raise it where they change
_DIGEST = 16
_PLACE = 3
_ALWAYS = ("embed", "moderate")
_SAID = ("chat", "generate")  # a response's answer may rest on what was found for it at that moment


def digest(asked: Submission[Any], about: Mapping[str, Any]) -> bytes | None:
    """What equal lines have in common and others haven't; None for a line that runs by itself. `about` is what its
    answer is rendered by beyond its job."""
    stored = asked.request.to_json()
    if not _says_it_again(asked.type, stored):
        return None
    labels = sorted(asked.metadata.items())
    whole = [asked.type, asked.model, stored.input, stored.params, dict(about), labels, asked.store]
    return hashlib.blake2b(strictjson.dumps(whole).encode(), digest_size=_DIGEST).digest()


def known_as(digest: bytes, tenant_id: uuid.UUID, model: str, identity: str) -> uuid.UUID:
    """What the line of this `digest` has in common with equal lines of all batches of the tenant, for as long as the
    model's answers are made by the same (`Worker.identity`): never with another tenant's."""
    whole = b"\0".join((bytes((_RULES,)), tenant_id.bytes, model.encode(), identity.encode(), digest))
    return uuid.UUID(bytes=hashlib.blake2b(whole, digest_size=_DIGEST).digest())


def _says_it_again(type: str, stored: Stored) -> bool:
    params = stored.params
    if type in _ALWAYS:
        return True
    if params.get("logprobs") is not None or params.get("choices", 1) > 1:  # megabytes, for each twin again
        return False
    greedy = params.get("temperature") == 0 or params.get("top_k") == 1
    return type in _SAID and (greedy or params.get("seed") is not None) and not params.get("server_functions")


@dataclass(slots=True)
class Firsts:
    """The lines so far of which an equal one may come, and the twins among those that came."""

    places: dict[bytes, int] = field(default_factory=dict)
    twins: "Twins" = field(default_factory=lambda: Twins())

    def note(self, place: int, digest: bytes | None) -> None:
        """Adds the line in this place."""
        if digest is None:
            return
        first = self.places.setdefault(digest, place)
        if first != place:
            self.twins.of[place] = first

    def to_json(self) -> dict[str, str]:
        known = b"".join(place.to_bytes(_PLACE) + digest for digest, place in self.places.items())
        return {"firsts": base64.b64encode(known).decode(), "twins": self.twins.packed}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Firsts":
        """What `to_json` gave, or nothing yet."""
        known = _pieces(kept.get("firsts", ""), _PLACE + _DIGEST)
        places = {piece[_PLACE:]: int.from_bytes(piece[:_PLACE]) for piece in known}
        return cls(places, Twins.unpacked(kept.get("twins", "")))


@dataclass(slots=True)
class Twins:
    """The places of lines that have no job, each with that of the line whose job is theirs too."""

    of: dict[int, int] = field(default_factory=dict)

    @property
    def packed(self) -> str:
        """As a stage hands them to the next."""
        both = (place.to_bytes(_PLACE) + first.to_bytes(_PLACE) for place, first in self.of.items())
        return base64.b64encode(b"".join(both)).decode()

    @classmethod
    def unpacked(cls, packed: str) -> "Twins":
        pairs = _pieces(packed, 2 * _PLACE)
        return cls({int.from_bytes(pair[:_PLACE]): int.from_bytes(pair[_PLACE:]) for pair in pairs})


def _pieces(packed: str, size: int) -> Iterator[bytes]:
    whole = base64.b64decode(packed)
    return (whole[at : at + size] for at in range(0, len(whole), size))
