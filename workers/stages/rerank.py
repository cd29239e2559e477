"""The stages in which a model reads a query with each of some documents, and says how well that answers it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks import errors
from tasks.documents import reranking
from tasks.jobs import fence, stages
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Onward, Outcome
from tasks.kinds import KINDS
from tasks.kinds import rerank as kind
from tasks.kinds.rag import Question
from tasks.kinds.rerank import Reranking
from tasks.limits.spent import Spent
from tasks.models.engine import Pair
from workers.attempt import Attempt
from workers.batcher import Batcher
from workers.publisher import Publisher
from workers.slot import Slot
from workers.stages.progress import Reporter

# Between two of these the job gives its slot back if that is wanted.
LOT = 64


def rerank(slot: Slot, attempt: Attempt, publisher: Publisher) -> Outcome | Onward:
    """How well each document answers the query. Each lot is kept and charged when it is done, and not done again.

    Raises `ContextLengthExceeded` naming the document, and what the batcher raises.
    """
    claim = attempt.claim
    asked: Reranking = KINDS[claim.type].parse(claim.asked)
    reporter = Reporter(attempt, publisher, slot.worker_id)
    so_far = _Ranked.of(claim.stage_input)
    count, lot_tokens = len(asked.documents), 0
    try:
        while len(so_far.ranks) < count:
            slot.check(attempt) if so_far.ranks else attempt.check()
            lot = asked.documents[len(so_far.ranks) : len(so_far.ranks) + LOT]
            pairs = paired(slot.batcher, asked.query, lot, cuts=asked.truncation, first=len(so_far.ranks))
            ranks = slot.batcher.rank(pairs, attempt.check, tenant_id=claim.tenant_id)
            lot_tokens = sum(map(len, pairs))
            so_far.add(ranks, lot_tokens)
            if len(so_far.ranks) < count:
                _keep(slot, attempt, so_far, lot_tokens)
                reporter.report(len(so_far.ranks), count)
    except errors.GaveWay:
        return slot.back(attempt, so_far.stored())
    result = kind.result(so_far.ranks, asked.top_n, so_far.tokens)
    return Outcome(Status.SUCCEEDED, Spent(embedding=lot_tokens), result, progress=(count, count))


def rerank_passages(slot: Slot, attempt: Attempt, publisher: Publisher) -> Onward:  # noqa: ARG001 nothing to tell yet
    """The passages that were found for a question, the best first, as many as are wanted, to the model that answers."""
    claim = attempt.claim
    asked: Question = KINDS[claim.type].parse(claim.asked)
    handed = claim.stage_input or {}
    passages = handed["passages"]
    question = handed.get("question", asked.question)
    pairs = paired(slot.batcher, question, [passage["text"] for passage in passages], cuts=True)
    ranks = slot.batcher.rank(pairs, attempt.check, tenant_id=claim.tenant_id)
    tokens = sum(map(len, pairs))
    ranked = kind.result(list(map(float, ranks)), asked.top_k, tokens)["results"]
    handed = {**handed, "passages": reranking.by_relevance(passages, ranked)}
    return Onward(stages.GENERATE, claim.model, handed, Spent(embedding=tokens))


@dataclass(slots=True)
class _Ranked:
    """The documents' ranks so far, from the first on, and the tokens that were read for them."""

    ranks: list[float] = field(default_factory=list)
    tokens: int = 0

    @classmethod
    def of(cls, stage_input: dict[str, Any] | None) -> "_Ranked":
        return cls(list(stage_input["ranks"]), stage_input["tokens"]) if stage_input else cls()

    def add(self, ranks: NDArray[np.float32], tokens: int) -> None:
        self.ranks += map(float, ranks)
        self.tokens += tokens

    def stored(self) -> dict[str, Any]:
        return {"ranks": self.ranks, "tokens": self.tokens}


def _keep(slot: Slot, attempt: Attempt, so_far: _Ranked, tokens: int) -> None:
    """Writes down what another attempt begins with, and charges the lot. Raises `Fenced`."""
    claim = attempt.claim
    with slot.sessions.begin() as session:
        fence.charge(session, claim.job_id, claim.attempt, Spent(embedding=tokens), stage_input=so_far.stored())


def paired(batcher: Batcher, query: str, documents: Sequence[str], *, cuts: bool, first: int = 0) -> list[Pair]:
    """The query with each document, numbered from `first` on. With `cuts` of long ones as much as there is room
    for; else, and where the query leaves no room at all, raises `ContextLengthExceeded`.
    """
    [alone] = batcher.pairs(query, [""])
    if len(alone) >= batcher.context:
        raise errors.ContextLengthExceeded(f"the query has {len(alone)} tokens; the model takes {batcher.context}")
    pairs = batcher.pairs(query, documents)
    long = [place for place, pair in enumerate(pairs) if len(pair) > batcher.context]
    if long and not cuts:
        message = f"document {first + long[0]} has {len(pairs[long[0]])} tokens with the query"
        raise errors.ContextLengthExceeded(f"{message}; the model takes {batcher.context}")
    for place, pair in zip(long, _cut(batcher, [pairs[place] for place in long]), strict=True):
        pairs[place] = pair
    return pairs


def _cut(batcher: Batcher, pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs with as much of each document as there is room for, all of them measured at once, again and again."""
    fits, long = [0] * len(pairs), [len(pair.document) for pair in pairs]  # so many characters do; so many don't
    while any(most - least > 1 for least, most in zip(fits, long, strict=True)):
        tried = [(least + most) // 2 for least, most in zip(fits, long, strict=True)]
        for place, pair in enumerate(_shortened(batcher, pairs, tried)):
            (fits if len(pair) <= batcher.context else long)[place] = tried[place]
    return _shortened(batcher, pairs, fits)


def _shortened(batcher: Batcher, pairs: Sequence[Pair], lengths: Sequence[int]) -> list[Pair]:
    """The pairs, which have one query, with so many characters of each document."""
    texts = [pair.document[:length] for pair, length in zip(pairs, lengths, strict=True)]
    return batcher.pairs(pairs[0].query, texts) if pairs else []
