"""Which ports a `forebay up` has."""

import socket
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cli.client import client
from cli.launcher import datafolder, given, ports
from tests.support.platform import free_port


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A port that something listens on, which is the usual one of the API and of Flower."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        monkeypatch.setattr(ports, "API", port)
        monkeypatch.setattr(ports, "FLOWER", port)
        yield port


def test_a_second_one_beside_the_first_has_the_next_ports(taken: int) -> None:
    """Each its own, and it says which and how to have others."""
    told: list[str] = []
    api, flower = ports.choose(None, None, told.append)
    assert taken < api < flower
    assert told == [f"{taken} is taken, so --port is {api}", f"{taken} is taken, so --flower-port is {flower}"]
    for port in (api, flower):
        with socket.socket() as free:
            free.bind(("127.0.0.1", port))


def test_a_port_that_is_asked_for_is_no_other_ones(taken: int) -> None:
    """Whichever comes first."""
    free, _ = ports.choose(None, 0, lambda _: None)
    assert ports.choose(None, free, lambda _: None)[0] != free
    assert ports.choose(free, None, lambda _: None)[1] != free


@pytest.mark.parametrize(("option", "at"), [("--port", 0), ("--flower-port", 1)])
def test_a_taken_port_that_is_asked_for_is_refused_by_its_option(taken: int, option: str, at: int) -> None:
    asked = [(taken, 0), (None, taken)][at]
    with pytest.raises(click.ClickException) as told:
        ports.choose(*asked, lambda _: None)
    assert told.value.message == f"{option} {taken}: Address already in use"


def test_usual_ports_are_had_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no Flower where none is wanted."""
    told: list[str] = []
    port = free_port()
    monkeypatch.setattr(ports, "API", port)
    assert ports.choose(None, 0, told.append) == (port, 0)
    assert told == []


def test_commands_ask_the_api_of_their_data_folder(tmp_path: Path) -> None:
    """Where there was no `up`, the usual one."""
    assert client.local_url(tmp_path) == client.DEFAULT_URL
    given.write(datafolder.DataFolder(tmp_path).given, {"FOREBAY_CATALOG": "a.toml"}, "salt", 9123, 0)
    assert client.local_url(tmp_path) == "http://127.0.0.1:9123"
