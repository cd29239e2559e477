"""The ctransformers engine: this side of an engine host that turns to each running generation for a token at a time.

The library computes one generation at a time. Slots are caches of their own over the same weights, so requests are
answered side by side, but together no faster than one alone; use `llamacpp` where it can run the model.
"""

import dataclasses
import json
import secrets
import select
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from tasks import errors
from tasks.models.catalog import Model
from tasks.models.engine import CallFormat, Delta, Finish, Handle, Progress, Prompt, Request, Step
from tasks.models.logprobs import Logprob
from workers.engines import tokenizer
from workers.engines.hosting import Host

_OPTIONS = {"batch": 8}  # a larger one is hardly faster, and neighbours and cancellations wait for it
_LOAD_LIMIT_S = 600.0
_CALL_LIMIT_S = 60.0
_ERRORS: dict[str, type[errors.ForebayError]] = {
    kind.__name__: kind for kind in (errors.ContextLengthExceeded, errors.EngineRefused)
}


def load(model: Model, slots: int, threads: int) -> "CTransformers":
    """`options`: `batch`, prompt tokens evaluated at a time."""
    unknown = set(model.options) - set(_OPTIONS)
    if unknown:
        raise errors.EngineUnusable(f"{model.name}: unknown options {', '.join(sorted(unknown))}")
    if model.file is None or not model.file.is_file():
        raise errors.EngineUnusable(f"{model.name}: no model file {model.file}")
    if model.pools:
        raise errors.EngineUnusable(f"{model.name}: ctransformers gives no embeddings, and can't rerank")
    told = {
        "file": str(model.file),
        "slots": slots,
        "context": model.context,
        "threads": threads,
        "batch": {**_OPTIONS, **model.options}["batch"],
        "template": tokenizer.template_of(model),
        "key": secrets.token_urlsafe(32),
    }
    host = Host("workers.engines.ctransformers_host", told, _LOAD_LIMIT_S)
    host.start()
    engine = CTransformers(model, slots, host, told["key"])
    tokenizer.require_template(model, engine, host.ready)
    tokenizer.require_infill(model, engine, host.ready)
    return engine


class CTransformers:
    """A model in its engine host. Everything but `close` may be called from any thread."""

    def __init__(self, model: Model, slots: int, host: Host, key: str) -> None:
        self.name, self.slots, self.context, self.host = model.name, slots, model.context, host
        self.capabilities, self._key = model.capabilities, key
        self.call_format = CallFormat(**host.ready["call_format"])
        self.instructed, self.identity = bool(host.ready["instructed"]), tokenizer.identity(model)

    def prompt(self, text: str) -> Prompt:
        return Prompt(text, tuple(self._ask("prompt", text)))

    def prompt_of(self, ids: Sequence[int]) -> Prompt:
        return Prompt(str(self._ask("prompt_of", list(ids))), tuple(ids))

    def infill(self, prompt: str, suffix: str) -> Prompt:
        return Prompt(prompt + suffix, tuple(self._ask("infill", [prompt, suffix])))

    def chat(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> Prompt:
        text, ids = self._ask("chat", [list(messages), list(tools)])
        return Prompt(text, tuple(ids))

    def reread(self, text: str) -> tuple[int, ...]:
        return tuple(self._ask("reread", text))

    def tokenize(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        return [tuple(self._ask("prompt", text)) for text in texts]

    def detokenize(self, ids: Sequence[int]) -> str:
        return str(self._ask("detokenize", list(ids)))

    def generate(self, request: Request) -> Handle:
        return Generating(
            self._connect(
                {
                    "do": "generate",
                    "ids": request.prompt.ids,
                    "emitted": request.emitted,
                    "number": request.number,
                    "scope": request.scope,
                    "params": dataclasses.asdict(request.params),
                }
            )
        )

    @property
    def incarnation(self) -> int:
        return self.host.incarnation

    def restart(self, lost: int, *, explained: bool = False) -> None:
        self.host.restart(lost, explained=explained)

    def hang_up(self) -> None:
        self.host.kill()

    def close(self) -> None:
        self.host.close()

    def _ask(self, do: str, given: Any) -> Any:
        """One short exchange. Raises `EngineLost` when the host is gone, `EngineRefused` for what it won't take."""
        with self._connect({"do": do, "given": given}) as connection, connection.makefile("rb") as answers:
            try:
                line = answers.readline()
            except OSError as error:
                raise errors.EngineLost(f"the engine host doesn't answer: {error}") from error
        if not line.endswith(b"\n"):
            raise errors.EngineLost("the engine host is gone: the connection closed")
        told = orjson.loads(line)
        if "error" in told:
            raise _raised(told)
        return told["answer"]

    def _connect(self, asked: Mapping[str, Any]) -> socket.socket:
        """A connection on which the request has been sent."""
        line = f"{self._key}{json.dumps(asked)}\n".encode()  # a text that is none is the host's to refuse
        host, port = self.host.ready["address"]
        try:
            connection = socket.create_connection((host, port), timeout=_CALL_LIMIT_S)
        except OSError as error:
            raise errors.EngineGone(f"the engine host doesn't listen: {error}") from error
        try:
            connection.sendall(line)
        except OSError as error:
            connection.close()
            raise errors.EngineLost(f"the engine host is gone: {error}") from error
        return connection


class Generating:
    """One generation's end of its connection: a `Handle`."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.settimeout(None)
        self._came = bytearray()
        self._cancelled = False

    def read(self, timeout_s: float, *, gather: bool = False) -> Sequence[Step]:  # noqa: ARG002 few tokens come
        if not select.select([self._socket], [], [], timeout_s)[0]:
            return []
        try:
            came = self._socket.recv(1 << 16)
        except OSError as error:
            raise self._broken(str(error)) from error
        if not came:
            raise self._broken("the connection closed")
        self._came += came
        whole, _, rest = self._came.rpartition(b"\n")
        self._came = bytearray(rest)
        return [_step(orjson.loads(line)) for line in whole.splitlines()]

    def cancel(self) -> None:
        self._cancelled = True
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it has ended by itself

    def close(self) -> None:
        self._socket.close()

    def _broken(self, how: str) -> errors.ForebayError:
        return (
            errors.Cancelled("cancelled") if self._cancelled else errors.EngineLost(f"the engine host is gone: {how}")
        )


def _step(told: Mapping[str, Any]) -> Step:
    if "text" in told:
        likely = tuple(Logprob.from_plain(*each) for each in told.get("logprobs", ()))
        return Delta(told["text"], told["tokens"], tuple(told["ids"]), likely)
    if "total" in told:
        return Progress(told["done"], told["total"])
    if "finish" in told:
        return Finish(told["finish"], told["tokens"])
    raise _raised(told)


def _raised(told: Mapping[str, Any]) -> errors.ForebayError:
    return _ERRORS.get(told["error"], errors.EngineError)(told["message"])
