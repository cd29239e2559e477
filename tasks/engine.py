"""What every engine can do: the port behind which a loaded model stands, whichever library loads it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Params:
    """How to sample. `max_tokens` counts the whole answer, also the part an earlier run gave."""

    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    repetition_penalty: float
    stop: tuple[str, ...]
    seed: int

    @property
    def greedy(self) -> bool:
        """Nothing is drawn, so a run can be continued from its token ids alone."""
        return self.temperature == 0 or self.top_k == 1


@dataclass(frozen=True, slots=True)
class Request:
    """One generation. `emitted` are the ids of the answer's tokens that an earlier run already gave.

    `scope` keeps tenants apart: what an engine caches for one scope never serves another.
    """

    prompt: str
    params: Params
    emitted: tuple[int, ...] = ()
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the answer: never empty text, whole characters, nothing that could become a stop string.

    `tokens` is how many tokens it came from, `token_ids` those of them the engine told (all, or the piece is not
    exact).
    """

    text: str
    tokens: int
    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of the prompt has been evaluated, in tokens."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of a generation: `stop` (its own end or a stop string) or `length`.

    `tokens` counts those that no delta carried: the end token, a stop string held back.
    """

    reason: str
    tokens: int


Step = Delta | Progress | Finish


class Handle(Protocol):
    """A generation under way."""

    def read(self, timeout_s: float) -> Sequence[Step]:
        """What has come since the last call, waiting at most `timeout_s` for the first; empty when nothing has.

        `Finish` is the last step. Raises `Cancelled` after `cancel`, `EngineLost` when the engine host died,
        a `JobError` when the engine refuses the request.
        """

    def cancel(self) -> None:
        """Stops it, from any thread, in any phase; the slot is free soon after. Idempotent."""

    def close(self) -> None:
        """Gives the slot back. Idempotent; also after an error."""


class Engine(Protocol):
    """A loaded model. Safe to use from `slots` threads at once."""

    name: str
    slots: int
    context: int
    batch_tokens: int  # how many tokens it embeds at a time

    @property
    def incarnation(self) -> int:
        """Which engine host serves now: another number after every restart."""

    def count_tokens(self, prompt: str) -> int:
        """How many tokens the prompt has, with what the model puts before it."""

    def render(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """The conversation as the model's own prompt text."""

    def generate(self, request: Request) -> Handle:
        """Begins a generation."""

    def tokenize(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """The token ids of each text, with what the model puts around one; special tokens in a text are plain text."""

    def embed(self, inputs: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """One vector of length 1 for each tokenised text: shape (n, d).

        Raises `EngineLost` when the host died, `EngineRefused` when the model doesn't embed.
        """

    def restart(self, lost: int) -> None:
        """Replaces the lost incarnation, which is ended if it should still live; returns when it can be used.

        Does nothing when it has been replaced already, so many may call at once. Raises `EngineUnusable` when the
        engine died too often, can't be loaded, or is closed.
        """

    def hang_up(self) -> None:
        """Ends a hung engine host for certain; running generations raise `EngineLost`."""

    def close(self) -> None:
        """Frees the model. Idempotent."""
