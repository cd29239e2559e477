"""How likely a model found a token."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from tasks import errors

NEVER = -9999.0  # what OpenAI's API tells of a token that couldn't come: JSON has no infinity


@dataclass(frozen=True, slots=True)
class Logprob:
    """A token, its logarithmic probability before anything was left out or penalised, and the likeliest in its place.

    `raw` are the token's bytes where the text can't tell them, as of a token that is a part of a character. All
    numbers are finite, since JSON has no others. Raises `EngineError` for one that isn't.
    """

    token: str
    logprob: float
    top: tuple["Logprob", ...] = ()
    raw: bytes | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.logprob):
            raise errors.EngineError("the engine told a logarithmic probability that isn't a finite number")

    @classmethod
    def of(cls, piece: bytes, logprob: float, top: tuple["Logprob", ...] = ()) -> Self:
        """The token that writes these bytes; minus infinity becomes `NEVER`."""
        text = piece.decode("utf-8", "replace")
        return cls(text, max(logprob, NEVER), top, None if text.encode() == piece else piece)

    @classmethod
    def from_plain(
        cls, token: str, logprob: float, top: Sequence[Sequence[Any]] = (), raw: Sequence[int] | None = None
    ) -> Self:
        """The inverse of `plain`, whose items these are."""
        return cls(token, logprob, tuple(cls.from_plain(*each) for each in top), None if raw is None else bytes(raw))

    def plain(self) -> list[Any]:
        """It as JSON has it; what is last and has its usual value is left out."""
        beside = [each.plain() for each in self.top]
        if self.raw is not None:
            return [self.token, self.logprob, beside, list(self.raw)]
        return [self.token, self.logprob, beside] if beside else [self.token, self.logprob]

    @property
    def piece(self) -> bytes:
        """What the token writes."""
        return self.token.encode() if self.raw is None else self.raw
