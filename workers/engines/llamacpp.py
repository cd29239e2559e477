"""The llama.cpp engine: this side of an engine host that speaks llama-server's HTTP API.

Exactness (design, section 5): prompts go as token ids, so that a continued run starts from the very tokens that were
streamed; each slot has a cache of its own; and a slot's cached prompt serves only the tenant that left it.
"""

import base64
import functools
import http.client
import json
import secrets
import threading
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks import errors
from tasks.catalog import Model
from tasks.engine import Handle, Request
from workers.engines.completions import Completion
from workers.engines.hosting import Host

_OPTIONS = {"batch": 0, "binary": ""}
_BATCH = 64  # small, so that a long prompt neither stalls its neighbours nor outlives its cancellation
_EMBEDDING_BATCH = 512  # a text is embedded in one go: at least its model's context
_EMBEDDING_TEXTS = 16
_CALL_LIMIT_S = 60.0
_SLOWEST_TOKENS_A_SECOND = 20
_LOAD_LIMIT_S = 600.0


def load(model: Model, slots: int, threads: int) -> "LlamaCpp":
    """`options`: `batch` (tokens evaluated at a time; 0 chooses), `binary` (a llama-server instead of the wheel's)."""
    unknown = set(model.options) - set(_OPTIONS)
    if unknown:
        raise errors.EngineUnusable(f"{model.name}: unknown options {', '.join(sorted(unknown))}")
    if model.file is None or not model.file.is_file():
        raise errors.EngineUnusable(f"{model.name}: no model file {model.file}")
    options = {**_OPTIONS, **model.options}
    key = secrets.token_urlsafe(32)
    batch = options["batch"] or (max(_EMBEDDING_BATCH, model.context) if model.embeds else _BATCH)
    told = {
        "file": str(model.file),
        "slots": _EMBEDDING_TEXTS if model.embeds else slots,
        "context": model.context,
        "threads": threads,
        "batch": batch,
        "embedding": model.embeds,
        "binary": options["binary"],
        # Address space, generously: what it bounds is a runaway. Other builds may map far more (CUDA does).
        "memory_bytes": None if options["binary"] else 4 * model.file.stat().st_size + (8 << 30),
        "key": key,
    }
    host = Host("workers.engines.llamacpp_host", told, _LOAD_LIMIT_S)
    host.start()
    return LlamaCpp(model.name, slots, model.context, _EMBEDDING_BATCH if model.embeds else batch, host, key)


class LlamaCpp:
    """A model in its engine host. Everything but `close` may be called from any thread."""

    def __init__(self, name: str, slots: int, context: int, batch: int, host: Host, key: str) -> None:
        self.name, self.slots, self.context, self.host = name, slots, context, host
        self.batch_tokens, self._key = batch, key
        self._lock = threading.Lock()
        self._free = list(range(slots))
        self._scopes: dict[int, str] = {}
        self._token_ids = functools.lru_cache(slots)(self._tokenize)

    def count_tokens(self, prompt: str) -> int:
        return len(self._token_ids(prompt))

    def render(self, messages: Sequence[Mapping[str, Any]]) -> str:
        return str(self._call("/apply-template", {"messages": list(messages)})["prompt"])

    def generate(self, request: Request) -> Handle:
        ids = [*self._token_ids(request.prompt), *request.emitted]
        slot, cached = self._take_slot(request.scope)
        params = request.params
        body = {
            "prompt": ids,
            "id_slot": slot,
            # A prompt evaluated in part has other batches, and their rounding shows where an answer is drawn.
            "cache_prompt": cached and params.greedy,
            "stream": True,
            "return_tokens": True,
            "return_progress": len(ids) > self.batch_tokens,  # of a prompt evaluated in one go there is nothing to tell
            "n_predict": params.max_tokens - len(request.emitted),
            "temperature": params.temperature,
            "top_p": params.top_p,
            "top_k": params.top_k,
            "min_p": params.min_p,
            "repeat_penalty": params.repetition_penalty,
            "stop": list(params.stop),
            "seed": params.seed,
        }
        return Completion(self._address(), self._key, body, functools.partial(self._give_back, slot))

    def tokenize(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        before, after = self._around
        # One exchange for all: an id that plain text never gives stands after each of them.
        marks = (before + after)[:1]
        marked: list[str | int] = []
        for text in texts:
            marked += [text, *marks]
        ids = self._ids(marked)
        pieces = [tuple(piece) for mark in marks for piece in _split(ids, mark)]
        if len(pieces) != len(texts):  # the model has no such id
            pieces = [self._ids(text) for text in texts]
        return [(*before, *piece, *after) for piece in pieces]

    def embed(self, inputs: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        body = {"input": [list(ids) for ids in inputs], "encoding_format": "base64"}
        limit_s = _CALL_LIMIT_S + sum(map(len, inputs)) / _SLOWEST_TOKENS_A_SECOND
        rows = self._call("/v1/embeddings", body, limit_s)["data"]
        return np.stack([np.frombuffer(base64.b64decode(row["embedding"]), dtype="<f4") for row in rows])

    @property
    def incarnation(self) -> int:
        return self.host.pid

    def restart(self, lost: int) -> None:
        self.host.restart(lost)

    def hang_up(self) -> None:
        self.host.kill()

    def close(self) -> None:
        self.host.close()

    def _take_slot(self, scope: str) -> tuple[int, bool]:
        """A free slot, the tenant's own last one if there is one, and whether its cached prompt is the tenant's."""
        with self._lock:
            if not self._free:
                raise errors.EngineError(f"all {self.slots} slots are taken")
            own = [slot for slot in self._free if self._scopes.get(slot) == scope]
            unused = [slot for slot in self._free if slot not in self._scopes]
            slot = (own or unused or self._free)[0]
            self._free.remove(slot)
            self._scopes[slot] = scope
            return slot, bool(own)

    def _give_back(self, slot: int) -> None:
        with self._lock:
            self._free.append(slot)

    def _tokenize(self, prompt: str) -> tuple[int, ...]:
        body = {"content": prompt, "add_special": True, "parse_special": True}
        return tuple(self._call("/tokenize", body)["tokens"])

    @functools.cached_property
    def _around(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """What the model puts before a text and after it."""
        bare, whole = self._ids("a"), self._ids("a", special=True)
        starts = range(len(whole) - len(bare) + 1)
        start = next((start for start in starts if whole[start : start + len(bare)] == bare), 0)
        return whole[:start], whole[start + len(bare) :]

    def _ids(self, content: str | list[str | int], *, special: bool = False) -> tuple[int, ...]:
        body = {"content": content, "add_special": special, "parse_special": False}
        return tuple(self._call("/tokenize", body)["tokens"])

    def _address(self) -> tuple[str, int]:
        address = urllib.parse.urlsplit(self.host.ready["address"])
        return address.hostname or "", address.port or 0

    def _call(self, path: str, body: Mapping[str, Any], limit_s: float = _CALL_LIMIT_S) -> dict[str, Any]:
        """One short exchange. Raises `EngineLost` when the host is gone, `EngineRefused` for what it won't take."""
        connection = http.client.HTTPConnection(*self._address(), timeout=limit_s)
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


def _split(ids: Sequence[int], mark: int) -> list[list[int]]:
    """What stands before each mark."""
    pieces: list[list[int]] = [[]]
    for number in ids:
        if number == mark:
            pieces.append([])
        else:
            pieces[-1].append(number)
    return pieces[:-1]
