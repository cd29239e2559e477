"""Questions over documents: how they are put to a model, and with which passages."""

import bisect
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tasks import errors

_TEMPLATE = Path(__file__).parent / "templates" / "rag.txt"

Passage = dict[str, Any]  # as clients see it


def room(max_tokens: int | None, context: int) -> int:
    """The tokens of the context that are kept for an answer of at most `max_tokens`."""
    return min(context // 4 if max_tokens is None else max_tokens, context // 2)


def prompt(question: str, passages: Sequence[Passage]) -> str:
    """The question as it is put to the model."""
    texts = "\n\n".join(passage["text"] for passage in passages)
    return _template().format(passages=texts, question=question)


def fitting(question: str, passages: Sequence[Passage], measure: Callable[[str], int], budget: int) -> list[Passage]:
    """The leading passages whose prompt has at most `budget` tokens by `measure`; of the first at least its beginning.

    Raises `ContextLengthExceeded` when the question leaves no room for that.
    """

    def fits(chosen: Sequence[Passage]) -> bool:
        return measure(prompt(question, chosen)) <= budget

    whole = _most(len(passages), lambda count: fits(passages[:count]))
    if whole or not passages:
        return list(passages[:whole])
    first, text = passages[0], passages[0]["text"]
    kept = _most(len(text), lambda count: fits([first | {"text": text[:count]}]))
    # To the last whole word, where there are words.
    beginning = text[:kept].rpartition(" ")[0] or text[:kept]
    if not beginning.strip():
        raise errors.ContextLengthExceeded(f"the question leaves no room for a passage in {budget} tokens")
    return [first | {"text": beginning}]


def _most(limit: int, fits: Callable[[int], bool]) -> int:
    """The largest count up to `limit` that fits, 0 if none does. If a count fits, every smaller one must too."""
    return bisect.bisect_left(range(1, limit + 1), True, key=lambda count: not fits(count))


@cache
def _template() -> str:
    return _TEMPLATE.read_text(encoding="utf-8")
