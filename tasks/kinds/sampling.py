"""How an answer is sampled."""

from collections.abc import Mapping
from typing import Any

from tasks.models.engine import Params

# Where the client doesn't say.
DEFAULTS = {"temperature": 0.8, "top_p": 0.95, "top_k": 40, "min_p": 0.05, "repetition_penalty": 1.0}


def params(asked: Mapping[str, Any], seed: int, room: int) -> Params:
    """How to sample an answer, of which the context holds at most `room` tokens."""
    given = {**DEFAULTS, **asked}
    return Params(
        max_tokens=min(given.get("max_tokens", room), room),
        temperature=given["temperature"],
        top_p=given["top_p"],
        top_k=given["top_k"],
        min_p=given["min_p"],
        repetition_penalty=given["repetition_penalty"],
        stop=tuple(given.get("stop", ())),
        seed=seed,
    )
