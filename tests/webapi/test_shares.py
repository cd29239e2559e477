"""One tenant asks for all it can get from one gunicorn; another is answered as ever."""

import contextlib
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from db.session import Sessions
from tests.support.waiting import until
from tests.webapi.conftest import new_key
from tests.webapi.serving import Served

HALF = 512  # of the places for streams and waits
LIMIT_S = 60.0


@pytest.fixture
def victim(served: Served, sessions: Sessions) -> Iterator[httpx.Client]:
    """Another tenant, who asks the same process."""
    headers = {"Authorization": f"Bearer {new_key(sessions, 'theirs')}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{served.port}", headers=headers, timeout=30) as client:
        yield client


def asking(served: Served, path: str) -> socket.socket:
    """A request of the one who wants all; its answer isn't read."""
    connection = socket.create_connection(("127.0.0.1", served.port))
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {served.key}\r\n\r\n"
    connection.sendall(head.encode())
    return connection


def status_of(connection: socket.socket) -> bytes:
    return connection.recv(12)


def test_waits_of_one_tenant_leave_streams_waits_and_searches_to_another(served: Served, victim: httpx.Client) -> None:
    """It gets half of the places, is told that its share is used up, and has them again once its clients are gone."""
    path = f"/v1/jobs/{served.submit()}?wait=60"
    with contextlib.ExitStack() as open_:
        sockets = list[socket.socket]()

        def refuses() -> bool:
            sockets.extend(open_.enter_context(asking(served, path)) for _ in range(HALF // 4))
            return served.client.get(f"{path[:-2]}1").status_code == 429

        until(refuses)
        refused = served.client.get(path)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "share_used_up")
        assert refused.headers["Retry-After"] == "1"
        assert "streams and waits" in refused.json()["error"]["message"]
        for _ in range(3):
            theirs = victim.post("/v1/jobs", json={"type": "generate", "input": {"prompt": "one"}}).json()["id"]
            assert victim.get(f"/v1/jobs/{theirs}?wait=1").status_code == 200
            assert victim.post(f"/v1/jobs/{theirs}/cancel").status_code == 200
            assert "event: cancelled" in victim.get(f"/v1/jobs/{theirs}/events").text
            assert victim.get("/v1/jobs").status_code == 200
        assert len(sockets) >= HALF
    until(lambda: served.client.get(f"{path[:-2]}1").status_code == 200)


def opened(served: Served, path: str, open_: contextlib.ExitStack) -> bool:
    """Whether a stream could be opened, which then stays so."""
    with contextlib.ExitStack() as own:
        got_it = status_of(own.enter_context(asking(served, path))) == b"HTTP/1.1 200"
        if got_it:
            open_.push(own.pop_all())
    return got_it


def test_streams_whose_clients_are_gone_give_their_places_back(served: Served, victim: httpx.Client) -> None:
    """Also where nothing would have been written for ten seconds."""
    job = f"/v1/jobs/{served.submit()}"
    path = f"{job}/events"
    with contextlib.ExitStack() as open_:
        for _ in range(HALF):
            until(lambda: opened(served, path, open_))  # those of the test before may still be given back
        with asking(served, path) as refused:
            assert status_of(refused) == b"HTTP/1.1 429"
        assert served.client.get(job).status_code == 200
        assert victim.get("/v1/jobs").status_code == 200

    def opens() -> bool:
        with asking(served, path) as one:
            return status_of(one) == b"HTTP/1.1 200"

    until(opens)


def test_large_bodies_of_one_tenant_leave_another_its_turn(served: Served, victim: httpx.Client) -> None:
    """Sixteen connections with four megabytes each, refused after they were read: the other one's are all accepted."""
    texts = ["x" * 2000] * 1900
    heavy = json.dumps({"type": "embed", "model": "nobody", "input": {"texts": texts}}).encode()
    headers = {"Authorization": f"Bearer {served.key}", "Content-Type": "application/json"}
    rss = served.worker.memory_info().rss

    def attack(_: int) -> set[int]:
        with httpx.Client(base_url=f"http://127.0.0.1:{served.port}", headers=headers, timeout=60) as client:
            return {client.post("/v1/jobs", content=heavy).status_code for _ in range(2)}

    large = {"type": "embed", "input": {"texts": ["one " * 30] * 1000}}
    with ThreadPoolExecutor(16) as pool:
        attacking = [pool.submit(attack, number) for number in range(16)]
        accepted = [victim.post("/v1/jobs", json=large).status_code for _ in range(10)]
        small = [victim.get("/v1/jobs?limit=1").status_code for _ in range(10)]
    assert (accepted, small) == ([202] * 10, [200] * 10)
    assert set().union(*(one.result() for one in attacking)) <= {422, 429, 503}
    assert served.worker.memory_info().rss < rss + 250_000_000


def test_requests_of_one_tenant_leave_another_connections_to_the_database(served: Served, victim: httpx.Client) -> None:
    """Sixty-four clients that list as fast as they can: nobody is told that the database can't be reached."""
    for _ in range(30):
        served.submit()
    headers = {"Authorization": f"Bearer {served.key}"}

    def attack(_: int) -> set[int]:
        with httpx.Client(base_url=f"http://127.0.0.1:{served.port}", headers=headers, timeout=60) as client:
            return {client.get("/v1/jobs?limit=30").status_code for _ in range(5)}

    with ThreadPoolExecutor(64) as pool:
        attacking = [pool.submit(attack, number) for number in range(64)]
        theirs = [victim.get("/v1/jobs").status_code for _ in range(20)]
    assert theirs == [200] * 20
    assert set().union(*(one.result() for one in attacking)) <= {200, 429}
