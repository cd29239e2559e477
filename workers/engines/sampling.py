"""Which token comes next, from the model's raw numbers: llama.cpp's default chain, drawn by a seed of our own.

Order (llama.cpp, common/sampling.cpp): biases, what a grammar allows, repetition penalty over the last 64 tokens of
prompt and answer, the other penalties over the answer, top-k, top-p, min-p, temperature, draw. The draw depends on the
seed and the token's number in the answer and on nothing else, so a run comes out the same however often it is repeated
and wherever it is taken up.
"""

import random
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tasks import errors
from tasks.models.engine import Params
from tasks.models.logprobs import Logprob

PENALTY_TOKENS = 64

Floats = NDArray[np.float32]


def choose(
    logits: Floats,
    params: Params,
    before: Sequence[int],
    number: int,
    said: Sequence[int] = (),
    allowed: NDArray[np.bool_] | None = None,
) -> int:
    """The id of the answer's token with that number. `logits` has one number a token, and is left as it is.

    `before` are the tokens of prompt and answer, `said` the answer's alone; of `allowed` at least one is true.
    Raises `EngineError` when the logits are no numbers, as damaged weights make them.
    """
    if not np.isfinite(logits).all():
        raise errors.EngineError("the model's output isn't finite: its weights are damaged")
    scores = _biased(logits, params.logit_bias)
    scores = scores if allowed is None else np.where(allowed, scores, -np.inf).astype(np.float32)
    scores = _penalize(scores, params.repetition_penalty, before)
    scores = _penalize_said(scores, params, said)
    if params.greedy:
        return int(scores.argmax())
    ids = _likeliest(scores, params.top_k)
    ids = ids[np.isfinite(scores[ids])]
    ids = ids[: _enough(scores[ids], params)]
    chances = _softmax(scores[ids] / params.temperature)
    drawn = random.Random(f"{params.seed}.{number}").random()  # noqa: S311 not a secret
    return int(ids[min(int(np.searchsorted(chances.cumsum(), drawn, side="right")), len(ids) - 1)])


def seed(given: int, number: int) -> int:
    """The seed by which the rest of an answer is drawn from the token with that number on, below 2³¹.

    At the answer's beginning it is the job's own. A library that draws one number after another from it can't be put
    back to where it was, so the rest of an interrupted answer is drawn anew, and always in the same way.
    """
    return random.Random(f"{given}.{number}").getrandbits(31) if number else given  # noqa: S311 not a secret


def likelihood(logits: Floats, token: int, beside: int, piece: Callable[[int], bytes]) -> Logprob:
    """What the model itself thought of a token, and of so many likeliest; `piece` tells what a token writes."""
    whole = logits.astype(np.float64)
    whole -= whole.max()
    whole -= np.log(np.exp(whole).sum())
    top = _likeliest(logits, beside)[:beside]
    others = tuple(Logprob.of(piece(int(other)), float(whole[other])) for other in top)
    return Logprob.of(piece(token), float(whole[token]), others)


def _biased(logits: Floats, bias: Mapping[int, float]) -> Floats:
    if not bias:
        return logits
    scores = logits.copy()
    scores[list(bias)] += np.array(list(bias.values()), np.float32)
    return scores


def _penalize_said(logits: Floats, params: Params, said: Sequence[int]) -> Floats:
    """OpenAI's penalties: for each time that a token has been said, and for that it has been."""
    if not said or not (params.frequency_penalty or params.presence_penalty):
        return logits
    tokens, counts = np.unique(np.asarray(said, dtype=np.int64), return_counts=True)
    scores = logits.copy()
    scores[tokens] -= (counts * params.frequency_penalty + params.presence_penalty).astype(np.float32)
    return scores


def _penalize(logits: Floats, penalty: float, before: Sequence[int]) -> Floats:
    if penalty == 1.0:
        return logits
    recent = np.unique(np.asarray(before[-PENALTY_TOKENS:], dtype=np.int64))
    scores = logits.copy()
    scores[recent] = np.where(scores[recent] <= 0, scores[recent] * penalty, scores[recent] / penalty)
    return scores


def _likeliest(scores: Floats, top_k: int) -> NDArray[np.int64]:
    """The ids of the best, best first; all of them for 0."""
    if 0 < top_k < len(scores):
        best = np.argpartition(-scores, top_k)[:top_k]
        return best[np.lexsort((best, -scores[best]))].astype(np.int64)
    return np.argsort(-scores, kind="stable")


def _enough(sorted_scores: Floats, params: Params) -> int:
    """How many of the best hold `top_p` of the chances and have at least `min_p` of the best one's; at least one."""
    chances = _softmax(sorted_scores)
    count = len(chances)
    if params.top_p < 1:
        count = min(count, int(np.searchsorted(chances.cumsum(), params.top_p)) + 1)
    if params.min_p > 0:
        count = min(count, int(np.searchsorted(-chances, -params.min_p * chances[0], side="right")))
    return max(count, 1)


def _softmax(sorted_scores: Floats) -> NDArray[np.float64]:
    exponents = np.exp(sorted_scores.astype(np.float64) - float(sorted_scores[0]))
    chances: NDArray[np.float64] = exponents / exponents.sum()
    return chances
