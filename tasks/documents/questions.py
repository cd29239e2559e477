"""Questions over documents: what is asked of which model, and with which passages."""

import bisect
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from tasks import errors
from tasks.documents import ranking
from tasks.jobs import stages
from tasks.jobs.attempts import Claim
from tasks.jobs.requests import Plan, Submission
from tasks.keys import Caller
from tasks.models import choosing
from tasks.models.catalog import Catalog

TOP_K = 5

_TEMPLATE = Path(__file__).parent / "templates" / "rag.txt"

Passage = dict[str, Any]  # as clients see it


def plan(session: Session, models: Catalog, caller: Caller, submission: Submission) -> Plan:
    """The plan of a question.

    Raises `ModelUnknown`, `PromptTooLong`, and `InvalidField` for a collection the tenant doesn't have or
    a parameter the model can't heed.
    """
    chat = choosing.model_for(models, "chat", submission.model)
    name, question = submission.input["collection"], submission.input["question"]
    try:
        collection = ranking.collection_of(session, caller, name)
    except errors.NotFound as error:
        raise errors.InvalidField("input.collection", str(error)) from error
    embedder = models.get(collection.model)
    if embedder is None:
        raise errors.ModelUnknown("input.collection", f"its model {collection.model!r} is no longer served")
    for model in (chat, embedder):
        choosing.refuse_what_cannot_fit(model, "input.question", question)
    choosing.refuse_what_it_lacks(chat, submission.params)
    return Plan(submission, stages.RETRIEVE, embedder.name, chat.name)


def room(claim: Claim, context: int) -> int:
    """The tokens of the context that are kept for the answer."""
    return min(int(claim.params.get("max_tokens", context // 4)), context // 2)


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
