"""The API as it is really served: gunicorn, its threads, its sockets, its end."""

import contextlib
import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import httpx
import psutil
import pytest
import redis

from db.session import Sessions
from tests.support.platform import is_gone
from tests.support.waiting import until
from tests.webapi import byhand
from tests.webapi.conftest import new_key
from tests.webapi.serving import Served, gunicorn
from webapi import gunicorn_conf, serving
from webapi.settings import Settings

WHOLE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def test_streams_end_with_the_process_and_others_are_finished(
    settings: Settings, sessions: Sessions, client: redis.Redis
) -> None:
    """Asked to stop, the process ends its streams with a hint to come again, answers waits, and exits cleanly."""
    with gunicorn(settings, new_key(sessions, "ours")) as served, ThreadPoolExecutor(1) as pool:
        job_id = served.submit()
        with served.client.stream("GET", f"/v1/jobs/{job_id}/events") as stream:
            chunks = stream.iter_text()
            assert next(chunks).startswith(": ok")
            waiting = pool.submit(served.client.get, f"/v1/jobs/{job_id}?wait=60")
            while "queued" not in next(chunks):
                pass
            served.process.send_signal(signal.SIGTERM)
            assert "retry: 500" in "".join(chunks)
            assert waiting.result(timeout=60).json()["status"] == "queued"
        assert served.process.wait(60) == 0


def test_requests_that_have_come_are_answered_by_a_process_that_stops(settings: Settings) -> None:
    """Also on connections that it hasn't taken yet: whoever sent one can't know that it is going."""
    with gunicorn(settings, "") as served, contextlib.ExitStack() as open_:
        worker, address = served.worker.pid, ("127.0.0.1", served.port)
        os.kill(worker, signal.SIGSTOP)
        connections = [open_.enter_context(socket.create_connection(address, timeout=30)) for _ in range(8)]
        for connection in connections:
            connection.sendall(WHOLE)
        served.process.send_signal(signal.SIGTERM)
        os.kill(worker, signal.SIGCONT)
        assert [connection.recv(12) for connection in connections] == [b"HTTP/1.1 200"] * len(connections)
        assert served.process.wait(60) == 0


def test_events_reach_the_client_as_they_are_written(served: Served, sessions: Sessions, client: redis.Redis) -> None:
    """Nothing between Redis and the socket holds an event back until there are more."""
    job_id = served.submit()
    with served.client.stream("GET", f"/v1/jobs/{job_id}/events") as stream:
        lines = stream.iter_lines()
        run = byhand.run(sessions, client, job_id)
        for word in ("a", "b", "c"):
            run.say(word)
            assert next(line for line in lines if line.startswith("data") and word in line and "text" in line)
        run.succeed()
        assert "event: succeeded" in list(lines)


def test_bodies_past_the_limit_are_refused_however_they_are_sent(served: Served) -> None:
    """Announced or in chunks, 50 MB are a 413, and the process lives on."""
    chunk = b" " * 1_000_000
    options = {"headers": {"Content-Type": "application/json"}}
    chunked = served.client.post("/v1/jobs", content=(chunk for _ in range(50)), **options)
    announced = served.client.post("/v1/jobs", content=chunk * 50, **options)
    for response in (chunked, announced):
        assert (response.status_code, response.json()["error"]["code"]) == (413, "body_too_large")
    assert served.client.get("/v1/jobs").json()["data"] == []


def test_accepted_sockets_inherit_the_unread_limit() -> None:
    """A client that stops reading is given up, since its socket says so to the kernel."""

    class Listener:
        sock = socket.create_server(("127.0.0.1", 0))

    class Server:
        LISTENERS = (Listener,)

    gunicorn_conf.when_ready(Server)
    port = Listener.sock.getsockname()[1]
    with Listener.sock, socket.create_connection(("127.0.0.1", port)), Listener.sock.accept()[0] as accepted:
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 20_000


def test_clients_that_do_not_close_hold_nobody_up(served: Served) -> None:
    """Forty connections that were answered and stay open on the other side: the process goes on accepting.

    Closed on the accepting thread they would take two seconds each, and past thirty gunicorn kills the process.
    """
    pid = psutil.Process(served.process.pid).children()[0].pid
    sockets = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(40)]
    for connection in sockets:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert served.client.get("/healthz").status_code == 200
    assert [child.pid for child in psutil.Process(served.process.pid).children()] == [pid]
    for connection in sockets:
        connection.close()


def test_what_is_loaded_before_the_fork_is_safe_to_share(served: Served) -> None:
    """The process that forks has no thread and no connection of its own, which those it makes would have in common."""
    served.client.get("/readyz")
    forking = psutil.Process(served.process.pid)
    assert forking.num_threads() == 1
    assert [one.status for one in forking.net_connections("inet")] == [psutil.CONN_LISTEN]


def test_damaged_chunks_are_the_clients_fault(served: Served) -> None:
    """A chunk without a size is a 400 in our shape, not a 500."""
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {served.key}\r\n"
    head += "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        connection.sendall(head.encode() + b"ZZ\r\n{}\r\n")
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 400")
    assert b'"code":' in answer


def test_heads_without_an_end_hold_no_threads_and_are_closed_in_time(
    settings: Settings, sessions: Sessions, client: redis.Redis
) -> None:
    """A thousand clients that send a byte now and then: another is served, and each of them has its seconds in all."""
    with gunicorn(settings, new_key(sessions, "ours"), head=3) as served, contextlib.ExitStack() as open_:
        served.client.get("/healthz")
        threads = served.worker.num_threads()
        sockets = [
            open_.enter_context(socket.create_connection(("127.0.0.1", served.port)))
            for _ in range(serving.UNFINISHED + 100)
        ]
        closed = 0
        while closed < len(sockets):
            for connection in sockets:
                with contextlib.suppress(OSError):
                    connection.send(b"G")
            with httpx.Client(base_url=str(served.client.base_url)) as fresh:
                assert fresh.get("/healthz").status_code == 200
            assert served.client.get("/v1/jobs").status_code == 200
            assert served.worker.num_threads() < threads + 20
            closed = sum(map(is_closed, sockets))


def test_answers_to_requests_sent_together_come_in_their_order(served: Served) -> None:
    """What came with a request is the next one's head, also where its end comes later."""
    head = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        connection.sendall(head * 2 + head[:10])
        answered = b""
        while answered.count(b'"ok"') < 2:
            answered += connection.recv(4096)
        connection.sendall(head[10:])
        while answered.count(b'"ok"') < 3:
            answered += connection.recv(4096)
    assert answered.count(b"HTTP/1.1 200") == 3


def test_bodies_nobody_wants_hold_no_threads(served: Served) -> None:
    """Three hundred bodies without a key that never come: their clients are answered, and the threads are free."""
    head = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    with contextlib.ExitStack() as open_:
        sockets = [open_.enter_context(socket.create_connection(("127.0.0.1", served.port))) for _ in range(300)]
        for connection in sockets:
            connection.sendall(head)
        assert served.client.get("/v1/jobs").status_code == 200
        assert {connection.recv(12) for connection in sockets} == {b"HTTP/1.1 401"}


def test_body_has_a_time_for_all_of_it() -> None:
    """However often a piece of it comes; what comes fast may take longer."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        unreader = serving.Unreader(ours)
        unreader.begin()
        theirs.sendall(b"x")
        assert unreader.chunk() == b"x"
        unreader._begun_at -= serving.BODY_S + 1
        theirs.sendall(b"x")
        with pytest.raises(TimeoutError):
            unreader.chunk()
        unreader._received += 2 * serving.BODY_BYTES_A_SECOND
        assert unreader.chunk() == b"x"


@pytest.mark.parametrize(
    ("taken", "sent", "stays"),
    [
        (3, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", True),
        (3, b"GET / HTTP/1.1\r\nHost: x\r\n", False),
        (3, b"", False),
        (4, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", False),
    ],
)
def test_thread_stays_for_a_whole_head_while_others_are_free(taken: int, sent: bytes, stays: bool) -> None:
    """Of five threads three may be taken. What came stays in the socket, for whoever reads it."""
    ours, theirs = socket.socketpair()
    worker: Any = object.__new__(serving.Threads)
    worker.alive, worker.cfg, worker._counting = True, SimpleNamespace(threads=5), threading.Lock()
    worker._taken, worker._staying = taken, 0
    conn = SimpleNamespace(sock=ours, parser=SimpleNamespace(unreader=serving.Unreader(ours)))
    with ours, theirs:
        if sent:
            theirs.sendall(sent)
        assert worker._next_is_here(conn) is stays
        ours.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            assert ours.recv(1000) == sent
        theirs.close()
        assert not worker._next_is_here(conn)
    assert worker._staying == 0


def test_connections_that_threads_stay_with_count_as_kept(served: Served) -> None:
    """Of more clients than are kept, later ones are told that theirs closes, if some answers late."""
    with contextlib.ExitStack() as open_:
        sockets = [
            open_.enter_context(socket.create_connection(("127.0.0.1", served.port))) for _ in range(serving.IDLE + 20)
        ]
        answers = [asked(connection, WHOLE) for connection in sockets]
    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
    assert [b"Connection: close" in answer for answer in answers].count(True) >= 10


def test_head_that_comes_in_pieces_after_an_answer_is_served(served: Served) -> None:
    """Its first piece ends the stay of the thread that gave the answer."""
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        assert asked(connection, WHOLE).startswith(b"HTTP/1.1 200")
        connection.sendall(WHOLE[:10])
        assert asked(connection, WHOLE[10:]).startswith(b"HTTP/1.1 200")


def asked(connection: socket.socket, head: bytes) -> bytes:
    """The whole answer to `WHOLE`, the last piece of which is sent now."""
    connection.sendall(head)
    answer = b""
    while b'"ok"}' not in answer:
        answer += connection.recv(4096)
    return answer


def test_two_processes_serve_what_one_does(settings: Settings, sessions: Sessions, client: redis.Redis) -> None:
    """Whichever accepts a connection: a job is found, and its stream followed, by each of them; and both end."""
    with gunicorn(settings, new_key(sessions, "ours"), processes=2) as both:
        until(lambda: len(psutil.Process(both.process.pid).children()) == 2)  # the first to be there answers
        answering = psutil.Process(both.process.pid).children()
        run = byhand.run(sessions, client, both.submit())
        path = f"/v1/jobs/job_{run.job_id.hex}"
        for number, other in enumerate(answering):
            other.suspend()
            with httpx.Client(base_url=both.client.base_url, headers=both.client.headers, timeout=30) as fresh:
                assert fresh.get(path).json()["status"] == "running"
                with fresh.stream("GET", f"{path}/events") as stream:
                    lines = stream.iter_lines()
                    run.say(f"said {number}")
                    assert next(line for line in lines if f"said {number}" in line)
            other.resume()
    assert both.process.returncode == 0
    until(lambda: all(map(is_gone, answering)))


def test_where_the_application_begins_is_not_told_by_a_header(served: Served) -> None:
    """Such a header is as if it weren't there, with and without a key."""
    for client in (served.client, httpx.Client(base_url=str(served.client.base_url))):
        statuses = {client.get("/v1/jobs", headers={name: "/x"}).status_code for name in ("SCRIPT_NAME", "PATH_INFO")}
        assert statuses == {200 if client is served.client else 401}
        client.close()


def test_addresses_in_answers_are_those_that_a_proxy_was_asked_at(served: Served) -> None:
    """By the host that it passes on, and the scheme, which a proxy on this machine is believed."""
    asked = {"version": "alpha", "input": {"prompt": "one"}}
    proxied = {"Host": "forebay.example.com", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "elsewhere.example.com"}
    made = served.client.post("/v1/predictions", json=asked, headers=proxied).json()
    assert made["urls"]["get"] == f"https://forebay.example.com/v1/predictions/{made['id']}"


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side has closed."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_connection_that_is_closed_for_another_may_have_spoken_just_then(served: Served) -> None:
    """Both come to the process in one moment: it lives on, and so does everybody's connection to it."""
    worker = served.worker
    assert served.client.get("/healthz").status_code == 200
    with contextlib.ExitStack() as open_:

        def opened() -> socket.socket:
            return open_.enter_context(socket.create_connection(("127.0.0.1", served.port)))

        sockets = [opened() for _ in range(serving.UNFINISHED)]
        until(lambda: served.connections() > serving.UNFINISHED)
        worker.suspend()
        opened()
        for connection in sockets:
            connection.send(b"G")
        worker.resume()
        assert served.client.get("/healthz").status_code == 200
    assert served.worker.pid == worker.pid
