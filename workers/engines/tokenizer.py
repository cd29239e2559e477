"""This side of the tokenizer process of a llama.cpp model: questions one at a time, and who is to blame for a death."""

import hashlib
import json
import os
import secrets
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from tasks import errors
from tasks.models.catalog import Model
from tasks.models.engine import CallFormat, Engine, Prompt
from workers.engines import vocabulary
from workers.engines.hosting import Host

log = structlog.get_logger(__name__)

_LIMIT_S = 5.0
_SLOWEST = 10_000  # characters a second, of a pre-tokenizer on a busy machine; most read a hundred times as many
_DEATHS_ALLOWED = 2  # the first may have come from outside; of the same text twice, it is the text's
_PIECE = 1 << 16  # characters read at a time: others take turns in between
_HEAD_BYTES = 8 << 20  # of a model's file: its vocabulary and template are there
_SAMPLES, _SAMPLE_BYTES = 64, 1 << 14
_SLACK = 16  # tokens that a text may have fewer than its pieces, for each of them


class Tokenizer:
    """Texts in, token ids out. Thread-safe; the process reads one text at a time, so a death is the text's own."""

    def __init__(self, host: Host, context: int) -> None:
        self.host, self._context = host, context
        self._lock = threading.Lock()
        self._pieces: dict[int, bytes] = {}

    def prompt(self, text: str) -> Prompt:
        """See `Generator.prompt`."""
        self._refuse_too_long(text)
        return Prompt(text, tuple(self._ask("prompt", text)))

    def prompt_of(self, ids: Sequence[int]) -> Prompt:
        """See `Generator.prompt_of`."""
        vocabulary.require_known(ids, self.size)
        return Prompt(self.detokenize(ids), tuple(ids))

    def infill(self, prompt: str, suffix: str) -> Prompt:
        """See `Generator.infill`."""
        self._refuse_too_long(prompt + suffix)
        return Prompt(prompt + suffix, tuple(self._ask("infill", [prompt, suffix])))

    def chat(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> Prompt:
        """See `Generator.chat`."""
        described = [json.dumps(tools)] if tools else []
        described += [json.dumps(message["tool_calls"]) for message in messages if message.get("tool_calls")]
        self._refuse_too_long("\n".join([*described, *(message["content"] for message in messages)]))
        text, ids = self._ask("chat", [list(messages), list(tools)])
        return Prompt(text, tuple(ids))

    def reread(self, text: str) -> tuple[int, ...]:
        """See `Generator.reread`."""
        return tuple(self._ask("reread", text))

    def detokenize(self, ids: Sequence[int]) -> str:
        """See `Generator.detokenize`."""
        return str(self._ask("detokenize", list(ids)))

    def piece(self, token: int) -> bytes:
        """What the token adds to an answer: bytes, perhaps a part of a character."""
        known = self._pieces.get(token)
        if known is None:
            known = self._pieces[token] = bytes(self._ask("pieces", [token])[0])
        return known

    @property
    def call_format(self) -> CallFormat:
        """See `Generator.call_format`."""
        return CallFormat(**self.host.ready["call_format"])

    @property
    def instructed(self) -> bool:
        """See `Generator.instructed`."""
        return bool(self.host.ready["instructed"])

    @property
    def size(self) -> int:
        """How many tokens there are; ids are below."""
        return int(self.host.ready["tokens"])

    @property
    def unknown(self) -> int | None:
        """See `Embedder.unknown`."""
        found: int | None = self.host.ready["unknown"]
        return found

    def tokenize(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """See `Embedder.tokenize`."""
        found: list[tuple[int, ...]] = []
        lot: list[str] = []
        for number, text in enumerate(texts, 1):
            lot.append(text)
            if number == len(texts) or sum(map(len, lot)) > _PIECE:
                found += [tuple(ids) for ids in self._ask("tokenize", lot)]
                lot = []
        return found

    def close(self) -> None:
        self.host.close()

    def _refuse_too_long(self, text: str) -> None:
        """Counts a very long text in pieces. Raises `ContextLengthExceeded` once they are more than the context."""
        if len(text) <= _PIECE:
            return
        tokens = 0
        for start in range(0, len(text), _PIECE):
            tokens += len(self._ask("reread", text[start : start + _PIECE])) - _SLACK
            if tokens > self._context:
                raise errors.ContextLengthExceeded(f"more than {self._context} tokens: that is the model's context")

    def _ask(self, do: str, given: Any) -> Any:
        """The process's answer.

        Raises `EngineRefused` with its reason, `Poison` when it dies of the question twice or takes too long for it.
        """
        question = {"do": do, "given": given}
        limit_s = _LIMIT_S + len(str(given)) / _SLOWEST
        with self._lock:
            for _ in range(_DEATHS_ALLOWED):
                lost = self.host.pid
                try:
                    told = self.host.ask(question, limit_s)
                except errors.EngineLost as error:
                    log.warning("tokenizer_lost", error=str(error))
                    self.host.restart(lost)
                    if isinstance(error.__cause__, TimeoutError):
                        raise errors.Poison(f"this job's text takes more than {limit_s:.0f} s to tokenize") from error
                else:
                    break
            else:
                raise errors.Poison("the tokenizer died of this job's text, twice")
        if "refused" in told:
            raise errors.EngineRefused(told["refused"])
        return told["answer"]


def host(model: Model, binary: str, load_limit_s: float) -> Host:
    """The process, not started yet. Raises `EngineUnusable` for a template that can't be read."""
    told = {
        "file": str(model.file),
        "binary": binary,
        "embedding": model.pools,
        "ranking": model.reranks,
        "template": template_of(model),
        "key": secrets.token_urlsafe(32),
    }
    return Host("workers.engines.tokenizer_host", told, load_limit_s, restarts_a_minute=None)


def template_of(model: Model) -> str | None:
    """The chat template that the catalogue names. Raises `EngineUnusable` when it can't be read."""
    try:
        return model.template.read_text(encoding="utf-8") if model.template else None
    except (OSError, UnicodeDecodeError) as error:
        raise errors.EngineUnusable(f"{model.name}: the template {model.template}: {error}") from error


def identity(model: Model) -> str:
    """See `Generator.identity`: by the file's size, its beginning and samples of the rest, as reading gigabytes takes
    too long; and by the catalogue's template. It is equal for copies on two machines.

    How fast it computes (`options`) doesn't count. Raises `EngineUnusable` for a template that can't be read.
    """
    if model.file is None:
        return ""
    found = hashlib.sha256((template_of(model) or "").encode())
    with model.file.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        found.update(file.read(_HEAD_BYTES))
        for sample in range(_SAMPLES):
            file.seek(max(0, size - _SAMPLE_BYTES) * (sample + 1) // _SAMPLES)
            found.update(file.read(_SAMPLE_BYTES))
    return f"{size}.{found.hexdigest()}"


def require_template(model: Model, engine: Engine, told: Mapping[str, Any]) -> None:
    """Raises `EngineUnusable`, the engine closed, when a model that is to chat has no template.

    With a broken one it is left for what else it may be asked. `told` is what the process with the template said.
    """
    problem = told["template_problem"]
    if problem is None or "chat" not in model.types:
        return
    if model.types == ("chat",) or not told["has_template"]:
        engine.close()
        raise errors.EngineUnusable(f"{model.name}: {problem}")
    log.warning("no_chat", model=model.name, reason=problem)


def require_infill(model: Model, engine: Engine, told: Mapping[str, Any]) -> None:
    """Raises `EngineUnusable`, the engine closed, when a model that is to fill in has no tokens for it."""
    if "infill" in model.types and not told["infills"]:
        engine.close()
        raise errors.EngineUnusable(f"{model.name}: its vocabulary has no tokens to fill in by: take infill from types")
