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

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(
            self.prompt + other.prompt,
            self.completion + other.completion,
            self.embedding + other.embedding,
            self.cached + other.cached,
        )


NOTHING = Spent()
