"""Which ports a `forebay up` has."""

import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from cli.client import client
from cli.launcher import datafolder, given, ports
from tests.support.platform import free_port


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the locks."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def choose(api: int | None, flower: int | None, say: Callable[[str], None] = lambda _: None) -> tuple[int, int]:
    """What is chosen, of which nothing is held any more."""
    with ports.chosen(api, flower, say) as both:
        return both


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
    api, flower = choose(None, None, told.append)
    assert taken < api < flower
    assert told == [f"{taken} is taken, so --port is {api}", f"{taken} is taken, so --flower-port is {flower}"]
    for port in (api, flower):
        with socket.socket() as free:
            free.bind(("127.0.0.1", port))


def test_a_port_that_is_asked_for_is_no_other_ones(taken: int) -> None:
    """Whichever comes first."""
    free, _ = choose(None, 0)
    assert choose(None, free)[0] != free
    assert choose(free, None)[1] != free


@pytest.mark.parametrize(("option", "at"), [("--port", 0), ("--flower-port", 1)])
def test_a_taken_port_that_is_asked_for_is_refused_by_its_option(taken: int, option: str, at: int) -> None:
    asked = [(taken, 0), (None, taken)][at]
    with pytest.raises(click.ClickException) as told:
        choose(*asked)
    assert told.value.message == f"{option} {taken}: Address already in use"


def test_usual_ports_are_had_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no Flower where none is wanted."""
    told: list[str] = []
    port = free_port()
    monkeypatch.setattr(ports, "API", port)
    assert choose(None, 0, told.append) == (port, 0)
    assert told == []


def test_two_that_start_at_one_moment_have_ports_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though nothing listens yet; one that asks for such a port is refused until the other has ended."""
    port = free_port()
    monkeypatch.setattr(ports, "API", port)
    with ports.chosen(None, 0, lambda _: None) as (first, _):
        assert first == port
        assert choose(None, 0)[0] > port
        with pytest.raises(click.ClickException, match=f"--port {port}: another `forebay up` has it"):
            choose(port, 0)
    assert choose(port, 0) == (port, 0)


def test_commands_ask_the_api_of_their_data_folder(tmp_path: Path) -> None:
    """Where there was no `up`, the usual one."""
    assert client.local_url(tmp_path) == client.DEFAULT_URL
    given.write(datafolder.DataFolder(tmp_path).given, {"FOREBAY_CATALOG": "a.toml"}, "salt", 9123, 0)
    assert client.local_url(tmp_path) == "http://127.0.0.1:9123"
