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

    @property
    def piece(self) -> bytes:
        """What the token writes."""
        return self.token.encode() if self.raw is None else self.raw

    def plain(self) -> list[Any]:
        """Token, number, those beside it, bytes, as JSON has it; what is last and has its usual value is left out."""
        beside = [each.plain() for each in self.top]
        if self.raw is not None:
            return [self.token, self.logprob, beside, list(self.raw)]
        return [self.token, self.logprob, beside] if beside else [self.token, self.logprob]

    @classmethod
    def parse(cls, plain: Sequence[Any]) -> Self:
        """The inverse of `plain`."""
        token, logprob, *more = plain
        beside = tuple(map(cls.parse, more[0])) if more else ()
        return cls(token, logprob, beside, bytes(more[1]) if len(more) > 1 else None)
