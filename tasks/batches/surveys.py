"""What a file of requests comes to, found without running any."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tasks import strictjson
from tasks.batches.batches import FileError

USUAL_BYTES_PER_TOKEN = 4.0
MAX_WARNINGS = 100  # so many are told


@dataclass(frozen=True, slots=True)
class Rate:
    """How many bytes of words a model's token has: as measured, or as is usual."""

    bytes_per_token: float = USUAL_BYTES_PER_TOKEN
    is_measured: bool = False

    def tokens(self, size: int) -> int:
        """About how many tokens so many bytes are."""
        return round(size / self.bytes_per_token)


def words(asked: Any) -> int:
    """How many bytes all strings have in what is asked, without what JSON puts around them."""
    if isinstance(asked, str):
        return len(strictjson.dumps(asked)) - len('""')
    if isinstance(asked, Mapping):
        asked = asked.values()
    return sum(map(words, asked)) if isinstance(asked, Iterable) else 0


@dataclass(slots=True)
class Asked:
    """What is asked of one model: so many lines, whose words have so many bytes, and answers of at most so many tokens
    where that is said; `unbounded` lines don't say it. To `answered` of them the tenant's batches have answers.
    `rate` is the model's."""

    rate: Rate = field(default_factory=Rate)
    lines: int = 0
    bytes: int = 0
    most_completion_tokens: int = 0
    unbounded: int = 0
    answered: int = 0


@dataclass(slots=True)
class Survey:
    """What was found in the lines that were read, by model; the largest line: its number, its name, its bytes; and
    those that a batch would have as errors, the first of them."""

    models: dict[str, Asked] = field(default_factory=dict)
    largest: tuple[int, str, int] | None = None
    warnings: list[FileError] = field(default_factory=list)

    def line(self, number: int, custom_id: str, size: int) -> None:
        """A line of so many bytes."""
        if self.largest is None or size > self.largest[2]:
            self.largest = number, custom_id, size

    def asked(self, model: str, size: int, most_tokens: int | None) -> None:
        """A request to this model, whose rate is known; which has so many bytes of words. `most_tokens` None where it
        doesn't say."""
        told = self.models[model]
        told.lines += 1
        told.bytes += size
        told.most_completion_tokens += most_tokens or 0
        told.unbounded += most_tokens is None

    def warn(self, warning: FileError) -> None:
        """Of a line that couldn't be answered."""
        if len(self.warnings) < MAX_WARNINGS:
            self.warnings.append(warning)

    def to_json(self) -> dict[str, Any]:
        return {
            "models": {name: asdict(told) for name, told in self.models.items()},
            "largest": self.largest,
            "warnings": [warning.plain() for warning in self.warnings],
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Survey":
        """What `to_json` gave, or nothing yet."""
        largest = kept.get("largest")
        models = {
            name: Asked(**{**told, "rate": Rate(**told.get("rate", {}))})
            for name, told in kept.get("models", {}).items()
        }
        warnings = [FileError(**warning) for warning in kept.get("warnings", ())]
        return cls(models, None if largest is None else (largest[0], largest[1], largest[2]), warnings)
