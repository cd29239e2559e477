"""The first stage of a response that is to search vector stores: the passages that it is written from."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.documents import filters, ranking
from tasks.documents.ranking import Across
from tasks.jobs import stages
from tasks.jobs.outcomes import Onward
from tasks.kinds import KINDS, rag
from tasks.kinds.response import Asked
from tasks.limits.spent import Spent
from tasks.vectorstores import searching, stores
from tasks.vectorstores.searching import FileSearch
from workers.attempt import Attempt
from workers.batcher import Tokens
from workers.publisher import Publisher
from workers.slot import Slot
from workers.stages import tokens

_SHORTER = 0.75  # of a question that is too long so much is read, its end, and again so much of that


def search_stores(slot: Slot, attempt: Attempt, publisher: Publisher) -> Onward:
    """What the stores of this model have, and then the stage again on the next model; at last the answer.

    A store that was deleted meanwhile has nothing. Nothing is told before the answer's stage tells it.
    """
    del publisher
    claim = attempt.claim
    asked: Asked = KINDS[claim.type].parse(claim.asked)
    assert asked.search is not None
    so_far = claim.stage_input or {}
    question, read = _read(slot, attempt, asked.question)
    vector = slot.batcher.embed([read], attempt.check, tenant_id=claim.tenant_id, urgent=True)[0]
    names = so_far.get("left", [stores.collection_name(id) for id in asked.search.stores])
    has = _across(slot, attempt, asked.search, names, question, vector)
    more: list[Any] = [one.as_json() for one in has.found]
    found = searching.merged(so_far.get("passages", []), more, asked.search.most)
    spent = Spent(embedding=len(read))
    handed = {"passages": found, "question": asked.question}
    if has.left:
        return Onward(claim.stage, has.left[0][1], handed | {"left": [name for name, _ in has.left]}, spent)
    return Onward(stages.GENERATE, claim.model, handed, spent)


def _read(slot: Slot, attempt: Attempt, question: str) -> tuple[str, Tokens]:
    """The question as the model reads it; of one that is too long, its end."""
    while True:
        [read] = tokens.of(slot.batcher, attempt, [question], "query")
        if len(read) <= slot.batcher.context or len(question) < 2:
            return question, read
        question = question[-int(_SHORTER * len(question)) :]


def _across(
    slot: Slot, attempt: Attempt, search: FileSearch, names: Sequence[str], question: str, vector: NDArray[np.float32]
) -> Across:
    with slot.sessions.begin() as session:
        return ranking.across(
            session,
            attempt.claim.tenant_id,
            names,
            question,
            vector,
            model=slot.queue,
            top_k=search.most,
            threshold=rag.THRESHOLD if search.threshold is None else search.threshold,
            filter=filters.parse(search.filter, fields=()) if search.filter else None,
            words_weight=search.words_weight,
        )
