"""Texts as the embedding model reads them: tokenised a lot at a time, so that a stopped attempt ends soon."""

from collections.abc import Sequence

from tasks import errors
from workers.attempt import Attempt
from workers.batcher import Batcher, Tokens

Text = str | Tokens

_LOT = 256  # texts tokenised in one exchange


def of(batcher: Batcher, attempt: Attempt, texts: Sequence[Text]) -> list[Tokens]:
    """The tokens of each text. Raises `Cancelled` when the attempt is to stop."""
    tokens: list[Tokens] = []
    for start in range(0, len(texts), _LOT):
        attempt.check()
        tokens += _read(batcher, texts[start : start + _LOT])
    return tokens


def _read(batcher: Batcher, texts: Sequence[Text]) -> list[Tokens]:
    """The tokens of each text; those that are given by their ids are only looked at."""
    words = [text for text in texts if isinstance(text, str)]
    read = iter(batcher.tokenize(words) if words else ())
    return [next(read) if isinstance(text, str) else batcher.known(text) for text in texts]


def fitting(batcher: Batcher, attempt: Attempt, texts: Sequence[Text]) -> list[Tokens]:
    """The tokens of each text. Raises `ContextLengthExceeded` naming the first that is too long, and what `of` does."""
    tokens = of(batcher, attempt, texts)
    for number, text in enumerate(tokens):
        if len(text) > batcher.context:
            message = f"text {number} has {len(text)} tokens; the model takes {batcher.context}"
            raise errors.ContextLengthExceeded(message)
    return tokens
