"""llama-server's streamed `/completion`, read from a socket that another thread may close.

Protocol: llama.cpp, tools/server/README.md; HTTP chunks by RFC 9112 section 7.1.
"""

import select
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from tasks import errors
from tasks.models.engine import Delta, Finish, Progress, Step
from tasks.models.logprobs import NEVER, Logprob

_GATHERED_BYTES = 2048  # some fifteen tokens; the last event has as many


class Completion:
    """One streamed completion: a `Handle`.

    `release` is called once, when the slot is given back. `piece` tells a token's bytes, `logprobs` how many are told
    beside each, where the body asks for any.
    """

    def __init__(
        self,
        address: tuple[str, int],
        key: str,
        body: Mapping[str, Any],
        release: Callable[[], None],
        piece: Callable[[int], bytes] = lambda _: b"",
        logprobs: int | None = None,
    ) -> None:
        self._piece, self._logprobs = piece, logprobs
        self._release: Callable[[], None] | None = release
        self._cancelled = False
        self.cached: int | None = None  # of the prompt's tokens, once the server has told its progress
        self._raw, self._text = bytearray(), bytearray()
        self._headers_read = False
        self._wakes_at = 1
        self._counted = 0  # tokens that steps have accounted for
        self._told = 0  # tokens that events have told of, or passed over
        self._held: list[int] = []  # ids of tokens whose text the server still holds back
        self._likely: list[Logprob] = []  # of the held ones
        try:
            self._socket = socket.create_connection(address, timeout=5)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.settimeout(None)
            self._socket.sendall(_request(key, body))
        except OSError as error:
            self.close()
            raise errors.EngineGone(f"the engine host doesn't listen: {error}") from error

    def read(self, timeout_s: float, *, gather: bool = False) -> Sequence[Step]:
        try:
            self._wake_at(_GATHERED_BYTES if gather else 1)
            select.select([self._socket], [], [], timeout_s)
            received = self._socket.recv(1 << 16, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        except OSError as error:
            raise self._broken(str(error)) from error
        if not received:
            raise self._broken("the connection closed")
        self._raw += received
        return [step for event in self._events() for step in self._steps(event)]

    def cancel(self) -> None:
        self._cancelled = True
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it has ended by itself

    def close(self) -> None:
        release, self._release = self._release, None
        if release is not None:
            if hasattr(self, "_socket"):
                self._socket.close()
            release()

    def _wake_at(self, size: int) -> None:
        """So many bytes, or the end of the connection, end the next wait."""
        if size != self._wakes_at:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
            self._wakes_at = size

    def _broken(self, how: str) -> errors.ForebayError:
        return (
            errors.Cancelled("cancelled") if self._cancelled else errors.EngineLost(f"the engine host is gone: {how}")
        )

    def _events(self) -> Iterator[dict[str, Any]]:
        """The whole events among what was received."""
        if not self._headers_read and not self._read_headers():
            return
        self._unchunk()
        while (end := self._text.find(b"\n\n")) >= 0:
            line = bytes(self._text[:end])
            del self._text[: end + 2]
            if line.startswith(b"data: "):
                yield _told(line[6:])
            elif line.startswith(b"error: "):
                yield {"error": _told(line[7:])}

    def _read_headers(self) -> bool:
        end = self._raw.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self._raw[:end]).decode("latin-1").split("\r\n")
        status = int(head[0].split(" ")[1])
        if status != 200:
            self._refused(status, head, end + 4)
            return False
        del self._raw[: end + 4]
        self._headers_read = True
        return True

    def _refused(self, status: int, head: list[str], start: int) -> None:
        """Raises what a JSON answer says, once it is whole."""
        lengths = [line.split(":")[1] for line in head if line.lower().startswith("content-length:")]
        if lengths and len(self._raw) < start + int(lengths[0]):
            return
        raise _refusal(status, bytes(self._raw[start:]))

    def _unchunk(self) -> None:
        while (end := self._raw.find(b"\r\n")) >= 0:
            size = int(self._raw[:end], 16)
            if len(self._raw) < end + 2 + size + 2:
                return
            self._text += self._raw[end + 2 : end + 2 + size]
            del self._raw[: end + 2 + size + 2]

    def _steps(self, event: dict[str, Any]) -> Iterator[Step]:
        if "error" in event:
            raise _refusal(int(event["error"].get("code", 500)), orjson.dumps(event))
        if "prompt_progress" in event:
            self.cached = event["prompt_progress"]["cache"]
            yield Progress(event["prompt_progress"]["processed"], event["prompt_progress"]["total"])
        elif event["stop"]:
            if event["content"]:
                yield self._delta(event)
            reason = "length" if event["stop_type"] == "limit" else "stop"
            yield Finish(reason, event["tokens_predicted"] - self._counted, event.get("timings", {}).get("cache_n", 0))
        else:
            self._hold(event)
            if event["content"]:
                yield self._delta(event)

    def _delta(self, event: dict[str, Any]) -> Delta:
        """The tokens since the last delta. The server doesn't tell the ids that begin a character of several tokens."""
        tokens, self._counted = event["tokens_predicted"] - self._counted, event["tokens_predicted"]
        ids, self._held = tuple(self._held), []
        likely, self._likely = tuple(self._likely), []
        return Delta(event["content"], tokens, ids if len(ids) == tokens else (), likely)

    def _hold(self, event: dict[str, Any]) -> None:
        """The event's token. Others before it, without an event, begin the character that it ends: of several tokens
        that make one, the server tells the last one's id and probability only.
        """
        passed_over = event["tokens_predicted"] - self._told > len(event["tokens"])
        whole = event["content"].encode() if passed_over and not self._held else None
        self._told = event["tokens_predicted"]
        self._held += event["tokens"]
        if self._logprobs is not None:
            told = event.get("completion_probabilities", ())
            self._likely += [self._likelihood(one, whole) for one in told]

    def _likelihood(self, told: Mapping[str, Any], whole: bytes | None) -> Logprob:
        """Of a token, or of the last one of a whole character. What the server calls a token's text is its event's."""
        beside = told["top_logprobs"]
        pieces = {one["id"]: bytes(one["bytes"]) for one in beside}
        piece = whole or pieces.get(told["id"]) or self._piece(told["id"])
        top = [Logprob.of(bytes(one["bytes"]), _number(one["logprob"])) for one in beside[: self._logprobs]]
        return Logprob.of(piece, _number(told["logprob"]), tuple(top))


def _number(told: float | None) -> float:
    """JSON has a null for minus infinity."""
    return NEVER if told is None else told


def _request(key: str, body: Mapping[str, Any]) -> bytes:
    payload = orjson.dumps(body)
    head = (
        "POST /completion HTTP/1.1\r\nHost: engine\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {key}\r\nContent-Length: {len(payload)}\r\n\r\n"
    )
    return head.encode() + payload


def _told(line: bytes) -> Any:
    """What a line says. Raises `EngineError` for what isn't JSON, as NaN and half a surrogate pair aren't."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise errors.EngineError(f"the engine host doesn't speak JSON: {error}") from error


def _refusal(status: int, body: bytes) -> errors.ForebayError:
    try:
        told = orjson.loads(body)["error"]
        kind, message = told.get("type", ""), told.get("message", "")
    except (ValueError, KeyError, TypeError):
        kind, message = "", body[:200].decode("utf-8", "replace")
    if kind == "exceed_context_size_error":
        return errors.ContextLengthExceeded(message)
    if status < 500 and status not in (401, 403):
        return errors.EngineRefused(message)
    return errors.EngineError(f"the engine host answered {status}: {message}")
