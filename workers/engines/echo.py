"""The echo engine: says the prompt's words again. Deterministic, as fast or slow as asked; for tests and load tests.

A text's vector counts its words, by a hash, in sixteen places. How well a document answers a query is the share of the
query's words that it has.

Greedy runs repeat the prompt's words in order, sampled runs draw among them by the seed, each as likely as another;
token k's id is the index of its word in the prompt. A run ends after the prompt's number of words, before a stop
string, or at `max_tokens` when that is given. The logarithmic probability of every word it says is 0.
"""

import random
import re
import threading
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks import errors
from tasks.models.capabilities import ENGINES, Capability
from tasks.models.catalog import Model, Role
from tasks.models.engine import OUR_CALLS, CallFormat, Finish, Handle, Pair, Progress, Prompt, Request, Step
from tasks.models.logprobs import Logprob
from workers.engines.pieces import Pieces

_OPTIONS = {"token_s": 0.0, "prompt_token_s": 0.0, "load_s": 0.0}
_DIMENSIONS = 16
_PROMPT_BATCH = 64  # words
_WORD = re.compile(r"\S+\s*|\s+")
_SURE = 4.0  # the logit of a document that has all of a query's words; of one that has none, below 0


def load(model: Model, slots: int, threads: int) -> "Echo":  # noqa: ARG001 it computes nothing
    """`options`: seconds a token (`token_s`), a prompt token (`prompt_token_s`) and loading (`load_s`) take."""
    unknown = set(model.options) - set(_OPTIONS)
    if unknown:
        raise errors.EngineUnusable(f"{model.name}: unknown options {', '.join(sorted(unknown))}")
    options = {**_OPTIONS, **model.options}
    time.sleep(options["load_s"])
    timing = (options["token_s"], options["prompt_token_s"])
    return Echo(model.name, slots, model.context, *timing, prefixes=model.prefixes)


@dataclass(slots=True)
class Echo:
    """`lose_at` names tokens (by their number in a run) at which the host dies, each once: the fault to test with."""

    name: str
    slots: int
    context: int
    token_s: float = 0.0
    prompt_token_s: float = 0.0
    lose_at: set[int] = field(default_factory=set)
    incarnation: int = 0
    batch_tokens: int = 512
    prefixes: Mapping[Role, str] = field(default_factory=lambda: {"query": "", "passage": ""})
    unknown: int | None = None
    capabilities: frozenset[Capability] = ENGINES["echo"]
    call_format: CallFormat = OUR_CALLS
    instructed: bool = True
    identity: str = ""

    def prompt(self, text: str) -> Prompt:
        return Prompt(text, tuple(range(len(_WORD.findall(text)))))

    def prompt_of(self, ids: Sequence[int]) -> Prompt:  # noqa: ARG002 it has none
        raise errors.EngineRefused("the echo engine has no vocabulary")

    def infill(self, prompt: str, suffix: str) -> Prompt:  # noqa: ARG002 it only says a prompt again
        raise errors.EngineRefused("the echo engine has no vocabulary")

    def chat(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> Prompt:  # noqa: ARG002
        return self.prompt("\n".join(message["content"] for message in messages))

    def reread(self, text: str) -> tuple[int, ...]:
        return self.prompt(text).ids

    def detokenize(self, ids: Sequence[int]) -> str:  # noqa: ARG002 an id is a place in a prompt, not a word
        return ""

    def generate(self, request: Request) -> Handle:
        return _Echoing(self, request, _WORD.findall(request.prompt.text))

    def tokenize(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        return [tuple(zlib.crc32(word.strip().lower().encode()) for word in _WORD.findall(text)) for text in texts]

    def embed(self, inputs: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        time.sleep(self.prompt_token_s * sum(map(len, inputs)))
        vectors = np.zeros((len(inputs), _DIMENSIONS), np.float32)
        for vector, ids in zip(vectors, inputs, strict=True):
            for number in ids:
                vector[number % _DIMENSIONS] += 1
            vector /= max(float(np.linalg.norm(vector)), 1.0)
        return vectors

    def pairs(self, query: str, documents: Sequence[str]) -> list[Pair]:
        asked, *told = map(len, self.tokenize([query, *documents]))
        return [Pair(query, document, asked + own) for document, own in zip(documents, told, strict=True)]

    def rank(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        time.sleep(self.prompt_token_s * sum(map(len, pairs)))
        return np.array([_SURE * (2 * _shared(pair.query, pair.document) - 1) for pair in pairs], np.float32)

    def restart(self, lost: int, *, explained: bool = False) -> None:  # noqa: ARG002 it has no host
        self.incarnation = max(self.incarnation, lost + 1)

    def hang_up(self) -> None:
        """There is no host to end."""

    def close(self) -> None:
        """There is nothing to free."""


def _shared(query: str, document: str) -> float:
    """The share of the query's words that the document has, 0 to 1."""
    asked, told = (set(re.findall(r"\w+", text.lower())) for text in (query, document))
    return len(asked & told) / max(len(asked), 1)


class _Echoing:
    def __init__(self, engine: Echo, request: Request, words: list[str]) -> None:
        self._engine, self._params, self._words = engine, request.params, words
        self._next = request.number
        self._last = min(request.params.max_tokens, len(words))
        self._pieces = Pieces(request.params.stop)
        self._cancelled = threading.Event()
        self._evaluated = 0

    def read(self, timeout_s: float, *, gather: bool = False) -> Sequence[Step]:  # noqa: ARG002 a token is never far
        if self._evaluated < len(self._words):
            return self._evaluate()
        if self._pieces.stopped or self._next >= self._last:
            return self._finish()
        self._sleep(self._engine.token_s)
        if self._next in self._engine.lose_at:
            self._engine.lose_at.discard(self._next)
            raise errors.EngineLost("the echo engine lost its host, as it was told to")
        index = self._index(self._next)
        self._next += 1
        delta = self._pieces.feed(index, self._words[index].encode(), self._likelihood(self._words[index]))
        last = self._pieces.stopped or self._next >= self._last
        return [*([delta] if delta else []), *(self._finish() if last else [])]

    def cancel(self) -> None:
        self._cancelled.set()

    def close(self) -> None:
        self._cancelled.set()

    def _finish(self) -> Sequence[Step]:
        rest = self._pieces.finish()
        cut_short = not self._pieces.stopped and self._last < len(self._words)
        return [*([rest] if rest else []), Finish("length" if cut_short else "stop", self._pieces.untold)]

    def _evaluate(self) -> Sequence[Step]:
        some = min(_PROMPT_BATCH, len(self._words) - self._evaluated)
        self._sleep(self._engine.prompt_token_s * some)
        self._evaluated += some
        return [Progress(self._evaluated, len(self._words))]

    def _likelihood(self, word: str) -> Logprob | None:
        beside = self._params.logprobs
        return None if beside is None else Logprob(word, 0.0, (Logprob(word, 0.0),) if beside else ())

    def _index(self, number: int) -> int:
        if self._params.greedy:
            return number % len(self._words)
        return random.Random(f"{self._params.seed}.{number}").randrange(len(self._words))  # noqa: S311 not a secret

    def _sleep(self, seconds: float) -> None:
        if self._cancelled.wait(seconds) if seconds else self._cancelled.is_set():
            raise errors.Cancelled("cancelled")
