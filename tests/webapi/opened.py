"""A job's stream, opened, and its events as they come."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from tests.support.events import Event, read
from tests.webapi.conftest import Api

Open = Callable[..., Iterator[Event]]


@pytest.fixture
def open_events(api: Api) -> Iterator[Open]:
    """Opens a job's stream and gives its events as they come; closes what was opened. A 204 has none."""
    opened = []

    def open_(job: dict[str, Any], query: str = "", **headers: str) -> Iterator[Event]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = api.get(f"/v1/jobs/{job['id']}/events{query}", headers=named, buffered=False)
        assert response.status_code in (200, 204), response.text
        opened.append(response)
        return seen(response.response)

    yield open_
    for response in opened:
        response.close()


def seen(chunks: Iterable[bytes]) -> Iterator[Event]:
    """Each event as soon as its chunk has come."""
    return read(line for chunk in chunks for line in chunk.decode().split("\n"))


def text(events: list[Event]) -> str:
    return "".join(event.data["text"] for event in events if event.type == "delta")
