"""The Procfile, the compose file and `forebay up` start the same processes."""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from honcho.environ import parse_procfile

from cli.launcher import lineup
from compose import file
from tasks import stopping
from tasks.models import catalog

ROOT = Path(__file__).parent.parent.parent
FILES = ("compose.yaml", "compose.dev.yaml")
# Whoever makes its file adds its line, as docs/models.md says.
ASKED_FOR = "multilingual-embed"
MODELS = {name: model for name, model in catalog.load(ROOT / "models" / "catalog.toml").items() if name != ASKED_FOR}
# In a container nobody can reach the loopback; compose publishes these on the host's.
IN_A_CONTAINER = {"127.0.0.1:$PORT": "0.0.0.0:8000", "--address=127.0.0.1": "--address=0.0.0.0"}


def procfile() -> dict[str, list[str]]:
    """Each process and its arguments."""
    processes = parse_procfile((ROOT / "Procfile").read_text()).processes
    return {name: shlex.split(line) for name, line in processes.items()}


def services() -> dict[str, Any]:
    return file.services(file.example())


@pytest.mark.parametrize("name", FILES)
def test_compose_file_follows_the_specification(name: str) -> None:
    """It is valid by the compose specification's own schema."""
    path = str(ROOT / "compose" / name)
    argv = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", path]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_runs_the_commands_of_the_procfile() -> None:
    """Each process of the Procfile is a service with the same command, on addresses a container needs."""
    for name, argv in procfile().items():
        assert services()[name]["command"] == [IN_A_CONTAINER.get(part, part) for part in argv]


def test_compose_has_nothing_beside_the_procfile_but_servers_and_a_model_of_ones_own() -> None:
    """No process of ours runs only in containers."""
    assert set(services()) - set(procfile()) == {"postgres", "redis", "worker"}


@pytest.mark.parametrize("name", ["api", "control", "flower", *map(lineup.worker_name, MODELS)])
def test_procfile_runs_the_commands_of_forebay_up(name: str) -> None:
    """The launcher and the Procfile agree on every command line, and on every model's slots."""
    specs = [lineup.api(8000, {}), lineup.control({}), lineup.flower(5555, {})]
    specs += [lineup.worker(model.name, model.slots, 1, {}) for model in MODELS.values()]
    python, m, *argv = next(spec.argv for spec in specs if spec.name == name)
    assert (python, m) == (sys.executable, "-m")
    argv = [part.replace("127.0.0.1:8000", "127.0.0.1:$PORT") for part in argv]
    assert procfile()[name] in (argv, ["python", "-m", *argv])  # the first is a program of the same name


def test_procfile_has_one_worker_for_each_model() -> None:
    """A model added to the catalogue is added to the Procfile."""
    workers = {name for name in procfile() if name.startswith("worker-")}
    assert workers == {lineup.worker_name(model) for model in MODELS}


def test_nobody_is_killed_while_it_hands_back_its_jobs() -> None:
    """Both launchers wait for a worker's grace and what follows it, and for the API's."""
    worker_s = stopping.GRACE_S + stopping.HAND_BACK_S + stopping.THREADS_S
    for name in ("control", *map(lineup.worker_name, MODELS)):
        assert _seconds(services()[name]["stop_grace_period"]) > worker_s
    assert lineup.control({}).stop_limit_s > worker_s
    assert lineup.worker("demo-chat", 4, 1, {"FOREBAY_GRACE_S": "60"}).stop_limit_s > worker_s - stopping.GRACE_S + 60
    assert _seconds(services()["api"]["stop_grace_period"]) > stopping.API_GRACE_S
    assert lineup.api(8000, {}).stop_limit_s > stopping.API_GRACE_S


def _seconds(period: str) -> float:
    return float(period.removesuffix("s"))
