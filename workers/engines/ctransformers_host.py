"""The engine host of `ctransformers`: one thread that turns to each running generation for one token at a time.

Runs as `python -m workers.engines.ctransformers_host`: one line of JSON on stdin says what to load, one on stdout
where it listens; when stdin closes, it ends. A connection carries one request, the key and a line of JSON, and its
answer, lines of JSON. Who closes it cancels. Between two tokens the loop looks at its sockets, so short requests
are answered and cancellations heard while others generate; the library is never entered by two threads.
"""

import dataclasses
import hmac
import json
import os
import resource
import selectors
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from tasks import errors
from tasks.models.engine import Delta, Params, Progress, Prompt, Request, Step
from workers.engines import gguf
from workers.engines.ctransformers_model import Model, Slot
from workers.engines.gguf import Header

_LINE_LIMIT = 64 << 20
_READ_BYTES = 1 << 20  # a long prompt is to come in few turns
_LIVENESS_S = 1.0


def main() -> None:
    """Loads, says so, and serves until stdin closes."""
    told = json.loads(sys.stdin.readline())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The library prints to file descriptor 1; the answer has it to itself.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        _limit(gguf.read(Path(told["file"])), told["slots"], told["slots"] * told["context"])
        sizes = told["slots"], told["context"], told["threads"], told["batch"]
        model = Model(Path(told["file"]), *sizes, told["template"])
    except (errors.EngineUnusable, MemoryError) as error:
        print(json.dumps({"error": str(error) or "there isn't enough memory"}), file=answers, flush=True)
        sys.exit(1)
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    chat: dict[str, Any] = {"template_problem": model.template_problem, "has_template": model.has_template}
    chat["infills"] = model.infills
    chat["instructed"] = model.instructed
    chat["call_format"] = dataclasses.asdict(model.call_format)
    print(json.dumps({"address": listener.getsockname(), **chat}), file=answers, flush=True)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    Loop(model, listener, told["key"]).serve()


def _limit(header: Header, slots: int, tokens: int) -> None:
    """Bounds the address space, generously: it is to end a runaway only. Each slot maps the file once more."""
    memory_bytes = (slots + 4) * header.file_bytes + header.cache_bytes(tokens) + (8 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(0)  # nothing to save, and a computation need not be waited for


@dataclass(slots=True, eq=False)
class _Client:
    """A connection: what has come, what is to go, and the generation it asked for."""

    socket: socket.socket
    came: bytearray = field(default_factory=bytearray)
    to_go: bytearray = field(default_factory=bytearray)
    ids: Sequence[int] = ()
    request: Request | None = None
    slot: Slot | None = None
    run: Iterator[Sequence[Step]] | None = None
    told_at: float = 0.0
    ending: bool = False  # once everything has gone


class Loop:
    """Requests take the slots in the order they came; those that have one are served in turn."""

    def __init__(self, model: Model, listener: socket.socket, key: str) -> None:
        self._model, self._listener, self._key = model, listener, key.encode()
        self._free = list(model.slots)
        self._clients: dict[socket.socket, _Client] = {}
        self._waiting: list[_Client] = []
        self._running: list[_Client] = []
        self._selector = selectors.DefaultSelector()
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ)

    def serve(self) -> None:
        """For ever."""
        while True:
            self.turn(None)

    def turn(self, wait_s: float | None) -> None:
        """Looks at the sockets, waiting only while nothing runs; then one step of each generation."""
        for key, events in self._selector.select(0 if self._running else wait_s):
            if key.fileobj is self._listener:
                self._accept()
            elif events:
                self._serve(self._clients[key.fileobj])  # type: ignore[index]
        self._start()
        for client in list(self._running):
            self._step(client)
        for client in self._waiting:
            self._reassure(client)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # it has gone again
            return
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._clients[connection] = _Client(connection)
        self._selector.register(connection, selectors.EVENT_READ)

    def _serve(self, client: _Client) -> None:
        """Reads and writes what can be now; a request is taken up when its line is whole."""
        try:
            came = client.socket.recv(_READ_BYTES)
        except BlockingIOError:
            self._send(client)
            return
        except OSError:
            came = b""
        client.came += came
        head, key = client.came[: len(self._key)], self._key[: len(client.came)]
        if not came or len(client.came) > _LINE_LIMIT or not hmac.compare_digest(head, key) or client.request:
            self._drop(client)
        elif b"\n" in came:
            self._answer(client)

    def _answer(self, client: _Client) -> None:
        try:
            asked = json.loads(client.came[len(self._key) :])
            if asked["do"] == "generate":
                self._queue(client, asked)
                return
            self._tell(client, {"answer": self._short(asked)})
        except errors.ForebayError as error:
            self._tell(client, _told(error))
        self._end(client)

    def _short(self, asked: Mapping[str, Any]) -> Any:
        given, model = asked["given"], self._model
        match asked["do"]:
            case "chat":
                return model.chat(*given)
            case "infill":
                return model.infill(*given)
            case "reread":
                return model.reread(given)
            case "detokenize":
                return model.detokenize(given)
            case "prompt_of":
                return model.prompt_of(given)
        return model.prompt(given)

    def _queue(self, client: _Client, asked: Mapping[str, Any]) -> None:
        given = asked["params"]
        bias = {int(token): number for token, number in given["logit_bias"].items()}
        params = Params(**{**given, "stop": tuple(given["stop"]), "logit_bias": bias})
        client.ids = [*asked["ids"], *asked["emitted"]]
        prompt = Prompt("", tuple(asked["ids"]))
        client.request = Request(prompt, params, tuple(asked["emitted"]), asked["number"], asked["scope"])
        client.came.clear()
        self._waiting.append(client)

    def _start(self) -> None:
        """Gives free slots to those who wait longest: a tenant's own last one if it is free, else an unused one."""
        while self._free and self._waiting:
            client = self._waiting.pop(0)
            assert client.request
            scope = client.request.scope
            client.slot = min(self._free, key=lambda slot: (slot.scope != scope, slot.scope is not None))
            self._free.remove(client.slot)
            client.run = self._model.run(client.slot, client.ids, client.request)
            self._running.append(client)

    def _step(self, client: _Client) -> None:
        assert client.run
        try:
            steps = next(client.run, None)
        except errors.ForebayError as error:
            self._tell(client, _told(error))
            steps = None
        if steps is None:
            self._end(client)
            return
        for step in steps:
            self._tell(client, _line(step))
        self._send(client)

    def _reassure(self, client: _Client) -> None:
        """A waiting request hears that the engine lives: from this thread, so only while it does."""
        now = time.monotonic()
        if now - client.told_at >= _LIVENESS_S:
            client.told_at = now
            self._tell(client, _line(Progress(0, len(client.ids))))
            self._send(client)

    def _tell(self, client: _Client, line: Mapping[str, Any]) -> None:
        client.to_go += orjson.dumps(line) + b"\n"

    def _send(self, client: _Client) -> None:
        """Sends what the client takes now; the loop waits for nobody."""
        try:
            sent = client.socket.send(client.to_go) if client.to_go else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(client)
            return
        del client.to_go[:sent]
        if client.ending and not client.to_go:
            self._drop(client)
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.to_go else 0)
        if self._selector.get_key(client.socket).events != events:
            self._selector.modify(client.socket, events)

    def _end(self, client: _Client) -> None:
        """No more is to come: its slot is free at once, its socket when all has gone."""
        self._leave(client)
        client.ending = True
        self._send(client)

    def _drop(self, client: _Client) -> None:
        if self._clients.pop(client.socket, None):
            self._leave(client)
            self._selector.unregister(client.socket)
            client.socket.close()

    def _leave(self, client: _Client) -> None:
        if client in self._waiting:
            self._waiting.remove(client)
        if client.slot:
            self._running.remove(client)
            self._free.append(client.slot)
            client.slot = client.run = None


def _line(step: Step) -> dict[str, Any]:
    if isinstance(step, Delta):
        told = {"text": step.text, "tokens": step.tokens, "ids": step.token_ids}
        return told | {"logprobs": [each.plain() for each in step.logprobs]} if step.logprobs else told
    if isinstance(step, Progress):
        return {"done": step.done, "total": step.total}
    return {"finish": step.reason, "tokens": step.tokens}


def _told(error: errors.ForebayError) -> dict[str, Any]:
    return {"error": type(error).__name__, "message": str(error)}


if __name__ == "__main__":
    main()
