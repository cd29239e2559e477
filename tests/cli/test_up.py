import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import click
import pytest

from cli.launcher import credentials, datafolder, given, leftovers, lineup, processes, up
from tests.support.platform import free_port

ROOT = Path(__file__).parent.parent.parent


def run_up(data: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-m", "cli", "up", "--data", str(data), *options]
    return subprocess.run(argv, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=False)


def test_up_says_what_it_starts_and_that_it_has_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Here it is asked to stop at once. Servers that the environment names aren't started."""
    stop_asked = threading.Event()
    stop_asked.set()
    servers = {"FOREBAY_REDIS_URL": "redis://127.0.0.1:1", "FOREBAY_DATABASE_URL": "postgresql://127.0.0.1:1/none"}
    with datafolder.claim(tmp_path) as folder:
        env = {**os.environ, "FOREBAY_CATALOG": "any", **servers}
        up.keep_up(up.Launch(folder, 1, 0, up.choose(lineup.CATALOG, "demo-chat"), env, stop_asked))
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"forebay: starting the API, a worker for each of demo-chat; logs are in {tmp_path}/logs"
    assert said[1].startswith("forebay: stopping everything")
    assert said[-1] == "forebay: stopped"


def test_up_on_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    """Two launchers never share a folder."""
    with datafolder.claim(tmp_path) as folder:
        done = run_up(tmp_path)
        given.write(folder.given, {"FOREBAY_CATALOG": "any"}, "salt", port=8123, flower_port=0)
        told = run_up(tmp_path).stderr
    assert done.returncode == 1
    said = f"Error: {tmp_path} is in use by another `forebay up` or `make run`, or by a `forebay backup`"
    assert done.stderr == f"{said}\n"
    assert told == f"{said}; it serves http://127.0.0.1:8123 if it is one of the former\n"
    assert done.stdout == ""


@pytest.mark.parametrize("option", ["--port", "--flower-port"])
def test_up_on_a_taken_port_starts_nothing(tmp_path: Path, option: str) -> None:
    """A port that something listens on is refused before anything is started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_up(tmp_path, option, str(port))
    assert done.returncode == 1
    assert done.stderr == f"Error: {option} {port}: Address already in use\n"
    assert list((tmp_path / "logs").iterdir()) == []


def test_up_with_an_unknown_model_names_the_known(tmp_path: Path) -> None:
    """A mistyped model is answered with what there is."""
    done = run_up(tmp_path, "--models", "demo-chat,dmo")
    assert done.returncode == 1
    assert "has demo-chat" in done.stderr


@pytest.mark.parametrize("said_by", ["option", "environment"])
def test_up_with_a_file_that_is_no_model_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said_by: str
) -> None:
    """The reason comes before PostgreSQL does."""
    file = tmp_path / "-odd\n.gguf"
    file.write_text("a text, and a longer one than the head of a model")
    if said_by == "environment":
        monkeypatch.setenv("FOREBAY_MODEL", os.pathsep.join([str(file), str(file)]))
    options = [] if said_by == "environment" else ["--model", str(file)]
    done = run_up(tmp_path / "data", "--port", str(free_port()), "--flower-port", "0", *options)
    assert (done.returncode, done.stderr) == (1, f"Error: {tmp_path}/-odd?.gguf: not a GGUF file\n")
    assert list((tmp_path / "data" / "logs").iterdir()) == []


def test_up_with_a_file_that_is_missing_names_it(tmp_path: Path) -> None:
    """And with no model at all it says what there is."""
    assert "none.gguf' does not exist" in run_up(tmp_path, "--model", str(tmp_path / "none.gguf")).stderr
    assert "--models none" in run_up(tmp_path, "--models", "none").stderr


def test_answer_without_a_wanted_model_is_not_ready() -> None:
    """Ready means servers up and a worker for each model that was started."""
    parts = {"postgres": "ok", "schema": "ok", "redis": "ok", "workers": {"a": 1, "b": 0}}
    assert up.can_answer({"parts": parts}, ["a"])
    assert not up.can_answer({"parts": parts}, ["a", "b"])
    assert not up.can_answer({"parts": {**parts, "redis": "down"}}, ["a"])
    assert not up.can_answer({"parts": {**parts, "schema": "run `forebay migrate`"}}, ["a"])
    assert not up.can_answer(None, ["a"])


def test_jobs_of_models_that_left_are_told_with_what_to_do() -> None:
    """One sentence a model; an API that tells nothing of them says that there are none."""
    parts = {"postgres": "ok", "redis": "ok", "workers": {}, "unserved": {"old-model": 12, "older": 1}}
    assert up.unserved({"parts": parts}) == [
        "12 jobs wait for old-model, which isn't served: "
        "`forebay jobs end --model old-model` ends them, or serve it again",
        "1 job waits for older, which isn't served: `forebay jobs end --model older` ends it, or serve it again",
    ]
    assert up.unserved({"parts": {"postgres": "ok"}}) == up.unserved(None) == []


def test_secrets_are_made_once_and_only_ours(tmp_path: Path) -> None:
    """Secrets stay what they are at every start, in a file nobody else may read."""
    path = tmp_path / "secrets.json"
    made = credentials.open_or_make(path)
    assert credentials.open_or_make(path) == made
    old = {name: secret for name, secret in json.loads(path.read_text()).items() if name != "webhook_key"}
    path.write_text(json.dumps(old))
    completed = credentials.open_or_make(path)
    assert (completed.pepper, credentials.open_or_make(path)) == (made.pepper, completed)
    assert path.stat().st_mode & 0o777 == 0o600


def test_note_and_lock_are_only_ours(tmp_path: Path) -> None:
    """Also where an earlier start left them open to others."""
    for name in ("run.json", "run.new", "lock"):
        (tmp_path / name).touch(0o644)
    with datafolder.claim(tmp_path) as folder:
        leftovers.write(folder.record, [])
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("run.json", "lock")] == [0o600, 0o600]


@pytest.mark.parametrize("memory", ["", "much", "-1", "1 gb", "1gb --port 1"])
def test_memory_of_redis_that_is_no_amount_is_refused(tmp_path: Path, memory: str) -> None:
    """Before anything is started."""
    launch = up.Launch(datafolder.DataFolder(tmp_path), 1, 0, [], {"FOREBAY_REDIS_MEMORY": memory}, threading.Event())
    with pytest.raises(click.ClickException, match="FOREBAY_REDIS_MEMORY"):
        launch._start_servers()


def test_process_that_always_dies_ends_the_start_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What can't ever start is told with the name of its log and what stands there."""
    monkeypatch.setattr(processes, "FIRST_DELAY_S", 0.01)
    argv = (sys.executable, "-c", "raise SystemExit('no such model')")
    launch = up.Launch(datafolder.DataFolder(tmp_path), 8000, 0, [], {}, threading.Event())
    launch.folder.logs.mkdir()
    launch.supervisor.start(processes.Spec("worker-one", argv, {}, tmp_path))
    with pytest.raises(click.ClickException) as told:
        launch.wait_until(lambda: False)
    launch.supervisor.stop("worker-one")
    assert "worker-one ended 5 times before it was ready" in told.value.message
    assert str(tmp_path / "logs" / "worker-one.log") in told.value.message
    assert told.value.message.endswith("\n  no such model")
