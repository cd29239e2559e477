"""A completion as llama-server tells it, from a stand-in that says what it is told to."""

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tasks import errors
from tasks.models.engine import Delta, Finish, Step
from tasks.models.logprobs import NEVER, Logprob
from workers.engines.completions import Completion

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def asked(server: socket.socket, *lines: bytes, ends: bool = True, **how: Any) -> Completion:
    """A completion to which the server answers with these lines, each an event, and closes if it `ends`."""

    def answer() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(1 << 16)
            events = [line + b"\n\n" for line in lines]
            connection.sendall(HEAD + b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events))
            if ends:
                connection.shutdown(socket.SHUT_WR)
            connection.recv(1)

    threading.Thread(target=answer, daemon=True).start()
    return Completion(server.getsockname(), "key", {"prompt": [1]}, lambda: None, **how)


def told(completion: Completion, *, gather: bool = False, timeout_s: float = 5) -> Sequence[Step]:
    """Its steps, to the last."""
    steps: list[Step] = []
    try:
        while not (steps and isinstance(steps[-1], Finish)):
            steps += completion.read(timeout_s, gather=gather)
    finally:
        completion.close()
    return steps


TOLD = (
    b'data: {"content":"","tokens":[5],"stop":false,"tokens_predicted":1}',
    'data: {"content":"é\u2028","tokens":[6],"stop":false,"tokens_predicted":2}'.encode(),
    b'data: {"content":"","tokens":[],"stop":true,"stop_type":"eos","tokens_predicted":3}',
)


@pytest.mark.parametrize("gather", [False, True])
def test_tokens_of_a_character_come_with_it(server: socket.socket, gather: bool) -> None:
    """The server tells a token's id though its text isn't whole yet; the delta has the ids of both."""
    steps = told(asked(server, *TOLD), gather=gather)
    assert steps == [Delta("é\u2028", 2, (5, 6)), Finish("stop", 1)]


def event(content: str, tokens: list[int], predicted: int, *likely: dict[str, Any]) -> bytes:
    told = {"content": content, "tokens": tokens, "stop": False, "tokens_predicted": predicted}
    return b"data: " + json.dumps(told | {"completion_probabilities": likely}).encode()


def likely(token: int, logprob: float | None, *top: tuple[int, bytes, float | None]) -> dict[str, Any]:
    """As the server tells it: what it calls the token's own text may be another's that was held back."""
    beside = [{"id": id, "token": "?", "bytes": list(raw), "logprob": number} for id, raw, number in top]
    return {"id": token, "token": "held back", "bytes": [63], "logprob": logprob, "top_logprobs": beside}


def test_probabilities_come_with_their_tokens(server: socket.socket) -> None:
    """Each with its own text, also where a stop string was in sight; none of the numbers is infinite."""
    told_by_server = (
        event("a", [5], 1, likely(5, -0.5, (5, b"a", -0.5), (6, b"\xe6", None))),
        event("", [6], 2, likely(6, -1.0, (5, b"a", -0.5), (8, b"q", -3.0))),
        event("bc", [7], 3, likely(7, None, (5, b"a", -0.5), (8, b"q", -3.0))),
        b'data: {"content":"","tokens":[],"stop":true,"stop_type":"limit","tokens_predicted":3}',
    )
    pieces = {6: b"b", 7: b"c"}
    first, second, _ = told(asked(server, *told_by_server, piece=pieces.__getitem__, logprobs=1))
    assert isinstance(first, Delta)
    assert isinstance(second, Delta)
    assert first.logprobs == (Logprob("a", -0.5, (Logprob("a", -0.5),)),)
    assert [(each.token, each.logprob) for each in second.logprobs] == [("b", -1.0), ("c", NEVER)]


def test_character_of_several_tokens_has_one_probability(server: socket.socket) -> None:
    """The server's stream passes over the tokens that begin it."""
    told_by_server = (
        event("é", [6], 2, likely(6, -1.5, (5, b"\xe6", -0.5))),
        b'data: {"content":"","tokens":[],"stop":true,"stop_type":"limit","tokens_predicted":2}',
    )
    steps = told(asked(server, *told_by_server, logprobs=1))
    top = (Logprob("\ufffd", -0.5, raw=b"\xe6"),)
    assert steps == [Delta("é", 2, (), (Logprob("é", -1.5, top),)), Finish("length", 0)]


@pytest.mark.parametrize(
    "content",
    [b"NaN", b"-Infinity", b"1e999", b'"\\ud800"', b'"\xff"'],
    ids=["no number", "infinity", "too large", "half a pair", "no UTF-8"],
)
def test_what_is_no_json_is_the_engines_fault(server: socket.socket, content: bytes) -> None:
    """None of it becomes a text or a null: the job fails by the system's fault, and has another attempt."""
    completion = asked(server, b'data: {"content":%b,"tokens":[5],"stop":false,"tokens_predicted":1}' % content)
    with pytest.raises(errors.EngineError, match="JSON"):
        told(completion)


def test_tokens_are_gathered_for_the_time_that_was_given(server: socket.socket) -> None:
    """They are few, and no more come: they are told when the time is over, as an empty hand is before they come."""
    completion = asked(server, *TOLD[:2], ends=False)
    steps: list[Step] = []
    while not steps:
        steps += completion.read(0.01, gather=True)
    assert steps == [Delta("é\u2028", 2, (5, 6))]
    assert completion.read(0.01, gather=True) == []
    completion.close()


def test_cancelling_ends_a_wait_for_more(server: socket.socket) -> None:
    """However long it was to last."""
    completion = asked(server, *TOLD[:1], ends=False)
    timer = threading.Timer(0.05, completion.cancel)
    timer.start()
    with pytest.raises(errors.Cancelled):
        told(completion, gather=True, timeout_s=600)
