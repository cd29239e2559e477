"""Where `forebay doctor` looks: at whatever of a `forebay up` runs."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import click
import pytest

from cli.launcher import datafolder, given, leftovers
from cli.operator.doctor import surroundings

# A launcher that starts one process, says which, and waits until it is told to end.
_LAUNCHER = """
import os, subprocess, sys
env = {**os.environ, "FOREBAY_LEASE_S": "7", "OTHER": "1"}
with subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"], env=env, stdin=0, stdout=-1) as child:
    child.stdout.readline()
    print(child.pid, flush=True)
"""


@pytest.fixture(autouse=True)
def nothing_named() -> Iterator[None]:
    """An environment that says nothing of an installation, and is put back."""
    with mock.patch.dict(os.environ):
        for name in [name for name in os.environ if name.startswith(("FOREBAY_", "FLOWER_"))]:
            del os.environ[name]
        yield


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """The data folder of a launcher of which one process runs, which isn't the API."""
    given.write(datafolder.DataFolder(tmp_path).given, {"FOREBAY_CATALOG": "a.toml"}, "salt", 9123, 9124)
    argv = [sys.executable, "-c", _LAUNCHER]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout is not None
        pid = int(launcher.stdout.readline())
        leftovers.write(datafolder.DataFolder(tmp_path).record, [("control", pid, signal.SIGTERM)])
        yield tmp_path


def test_installation_is_found_while_its_api_is_down(data: Path) -> None:
    found = surroundings.find(data)
    assert (found.api, found.flower) == ("http://127.0.0.1:9123", "http://127.0.0.1:9124")
    assert os.environ["FOREBAY_LEASE_S"] == "7"
    assert {"FOREBAY_DATABASE_URL", "FOREBAY_REDIS_URL", "FOREBAY_CATALOG"} <= os.environ.keys()


def test_an_up_without_flower_has_none(data: Path) -> None:
    given.write(datafolder.DataFolder(data).given, {"FOREBAY_CATALOG": "a.toml"}, "salt", 9123, 0)
    assert surroundings.find(data).flower is None


def test_folder_of_nothing_that_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match="no `forebay up` runs with"):
        surroundings.find(tmp_path)


def test_environment_that_names_servers_comes_first(data: Path) -> None:
    os.environ["FOREBAY_DATABASE_URL_FILE"] = "/run/secrets/database_url"
    assert surroundings.find(data).folder == Path.cwd()
    assert "FOREBAY_LEASE_S" not in os.environ


@pytest.mark.parametrize(
    ("own", "there"),
    [
        ({}, "http://127.0.0.1:5555"),
        ({"FLOWER_PORT": "5999", "FLOWER_ADDRESS": "0.0.0.0"}, "http://127.0.0.1:5999"),
        ({"FLOWER_ADDRESS": "10.0.0.7", "FLOWER_URL_PREFIX": "/flower"}, "http://10.0.0.7:5555/flower"),
    ],
)
def test_flower_is_where_its_own_variables_say(own: dict[str, str], there: str) -> None:
    os.environ.update({"FOREBAY_DATABASE_URL": "postgresql:///x", "FLOWER_BASIC_AUTH": "user:word", **own})
    assert surroundings.find(Path("nowhere")).flower == there
