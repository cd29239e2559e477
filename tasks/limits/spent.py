"""What a job used, as one value."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens: of the prompt or the texts that were evaluated, of the answer, and of texts embedded on the way to it.

    `cached` counts those of the prompt that the engine had evaluated before and didn't evaluate again.
    """

    prompt: int = 0
    completion: int = 0
    embedding: int = 0
    cached: int = 0


NOTHING = Spent()
