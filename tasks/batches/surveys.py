"""What a file of requests comes to, found without running any."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

USUAL_BYTES_PER_TOKEN = 4.0


@dataclass(slots=True)
class Asked:
    """What is asked of one model: so many lines, whose words have so many bytes, and answers of at most so many tokens
    where that is said; `unbounded` lines don't say it. The tenant's batches have answers to `answered` of them."""

    lines: int = 0
    bytes: int = 0
    most_completion_tokens: int = 0
    unbounded: int = 0
    answered: int = 0


@dataclass(slots=True)
class Survey:
    """What was found in the lines that were read, by model; and the largest line: its number, its name, its bytes."""

    models: dict[str, Asked] = field(default_factory=dict)
    largest: tuple[int, str, int] | None = None

    def line(self, number: int, custom_id: str, size: int) -> None:
        """A line of so many bytes."""
        if self.largest is None or size > self.largest[2]:
            self.largest = number, custom_id, size

    def asked(self, model: str, size: int, most_tokens: int | None) -> None:
        """A request to this model, which has so many bytes of words; `most_tokens` None where it doesn't say."""
        told = self.models.setdefault(model, Asked())
        told.lines += 1
        told.bytes += size
        told.most_completion_tokens += most_tokens or 0
        told.unbounded += most_tokens is None

    def to_json(self) -> dict[str, Any]:
        return {"models": {name: asdict(told) for name, told in self.models.items()}, "largest": self.largest}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Survey":
        """What `to_json` gave, or nothing yet."""
        largest = kept.get("largest")
        models = {name: Asked(**told) for name, told in kept.get("models", {}).items()}
        return cls(models, None if largest is None else (largest[0], largest[1], largest[2]))
