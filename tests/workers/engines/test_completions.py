"""A completion as llama-server tells it, from a stand-in that says what it is told to."""

import socket
import threading
from collections.abc import Iterator, Sequence

import pytest

from tasks import errors
from tasks.models.engine import Delta, Finish, Step
from workers.engines.completions import Completion

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def asked(server: socket.socket, *lines: bytes, ends: bool = True) -> Completion:
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
    return Completion(server.getsockname(), "key", {"prompt": [1]}, lambda: None)


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
