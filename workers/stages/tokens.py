"""Texts as the embedding model reads them: tokenised a lot at a time, so that a stopped attempt ends soon."""

import math
from collections.abc import Sequence

from tasks import errors
from tasks.documents import reading
from tasks.models.catalog import Role
from workers.attempt import Attempt
from workers.batcher import Batcher, Tokens

Text = str | Tokens

_LOT = 256  # texts tokenised in one exchange
_SAMPLE = 64


def of(batcher: Batcher, attempt: Attempt, texts: Sequence[Text], role: Role | None = None) -> list[Tokens]:
    """The tokens of each text, with what the model wants before one in this role: nothing where it has none.

    Raises `Cancelled` when the attempt is to stop.
    """
    prefix = batcher.prefixes[role] if role else ""
    tokens: list[Tokens] = []
    for start in range(0, len(texts), _LOT):
        attempt.check()
        lot = texts[start : start + _LOT]
        tokens += _read(batcher, [prefix + text if isinstance(text, str) else text for text in lot])
    return tokens


def unread(batcher: Batcher, attempt: Attempt, texts: Sequence[str]) -> float | None:
    """The share of the texts that the model can't read, of many by a sample; None where it doesn't tell."""
    if batcher.unknown is None:
        return None
    sample = texts[:: math.ceil(len(texts) / _SAMPLE) or 1]
    around, *found = of(batcher, attempt, ["", *sample])
    return reading.unread(sample, found, batcher.unknown, len(around))


def _read(batcher: Batcher, texts: Sequence[Text]) -> list[Tokens]:
    """The tokens of each text; those that are given by their ids are only looked at."""
    words = [text for text in texts if isinstance(text, str)]
    read = iter(batcher.tokenize(words) if words else ())
    return [next(read) if isinstance(text, str) else batcher.known(text) for text in texts]


def fitting(batcher: Batcher, attempt: Attempt, texts: Sequence[Text], role: Role | None = None) -> list[Tokens]:
    """The tokens of each text. Raises `ContextLengthExceeded` naming the first that is too long, and what `of` does."""
    tokens = of(batcher, attempt, texts, role)
    for number, text in enumerate(tokens):
        if len(text) > batcher.context:
            message = f"text {number} has {len(text)} tokens; the model takes {batcher.context}"
            raise errors.ContextLengthExceeded(message)
    return tokens
