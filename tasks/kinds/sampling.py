"""How the tokens of an answer are drawn."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

# Where the client doesn't say.
DEFAULTS = {
    "temperature": 0.8,
    "top_p": 0.95,
    "top_k": 40,
    "min_p": 0.05,
    "repetition_penalty": 1.0,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
}


@dataclass(frozen=True, slots=True)
class Sampling:
    """What the client says of it; None is left to `DEFAULTS`.

    Two penalties, -2 to 2, are OpenAI's, on the answer's own tokens: `frequency_penalty` for each time that one has
    come, `presence_penalty` once it has. `repetition_penalty` is llama.cpp's, a factor.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None

    def to_json(self) -> dict[str, Any]:
        """What is said, and nothing of what isn't."""
        return {name: getattr(self, name) for name in NAMES if getattr(self, name) is not None}


NAMES = tuple(field.name for field in fields(Sampling))


def from_json(stored: Mapping[str, Any]) -> Sampling:
    """The sampling that stands among other parameters."""
    return Sampling(**{name: stored.get(name) for name in NAMES})
