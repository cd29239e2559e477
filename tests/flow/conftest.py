"""A platform with Flower, whose models have little room: for what it keeps to itself, and for its lanes."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import catalogs, sharing, waiting
from tests.support.platform import Stack, forebay_up, free_port

_CATALOG = "\n".join(
    (
        catalogs.echo("chat", slots=4, context=256, default=True),
        catalogs.echo("embedder", "embed", slots=8, context=256, default=True),
        catalogs.echo("one", "generate", slots=1, options={"token_s": 0.05}),
    )
)


@dataclass(frozen=True, slots=True)
class Walled:
    """The platform, a client of its API, and one of Flower's with its password."""

    stack: Stack
    http: httpx.Client
    flower: httpx.Client

    def setting(self, name: str) -> str:
        return self.stack.started("api").environ()[name]

    def accepted(self, **job: Any) -> dict[str, Any]:
        answer = self.http.post("/v1/jobs", json=job)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    def ended(self, **job: Any) -> dict[str, Any]:
        return self.wait(self.accepted(**job))

    def wait(self, accepted: dict[str, Any]) -> dict[str, Any]:
        return dict(self.http.get(accepted["links"]["self"], params={"wait": 60}).json())

    def await_flower(self) -> None:
        """Waits until it answers and the workers answer it."""
        waiting.until(lambda: _answers(self.flower) and self.nodes(), look_s=0.1)

    def nodes(self) -> list[str]:
        """The workers that answered when Flower asked them."""
        return list(self.flower.get("/api/workers", params={"refresh": True}).json())


@pytest.fixture(scope="session")
def walled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walled]:
    with sharing.shared("walled", _walled(tmp_path_factory.mktemp("walled"))) as walled:
        yield walled


@contextmanager
def _walled(folder: Path) -> Iterator[Walled]:
    port = free_port()
    with forebay_up(folder / "data", _CATALOG, "--flower-port", str(port)) as stack:
        secrets = json.loads((stack.data / "secrets.json").read_text())
        login = ("forebay", secrets["flower_password"])
        with (
            httpx.Client(base_url=stack.url, headers=stack.headers, timeout=70) as http,
            httpx.Client(base_url=f"http://127.0.0.1:{port}", auth=login, timeout=20) as flower,
        ):
            yield Walled(stack, http, flower)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/workers").status_code == 200
    except httpx.TransportError:
        return False
