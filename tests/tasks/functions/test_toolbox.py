"""Functions are called in processes of their own, and whatever they do there harms nobody here."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import structlog

from tasks.errors import InvalidField, NotFound, SettingsError, ToolFailed
from tasks.functions.parent import Limits
from tasks.functions.toolbox import MAX_ARGUMENTS_BYTES, Toolbox
from tasks.kinds import toolset
from tasks.kinds.generation import Tool
from tests.support import waiting
from tests.tasks.functions.conftest import MODULES

Make = Callable[..., Toolbox]
ROOT = Path(__file__).parents[3]


def called(toolbox: Toolbox, name: str, /, **arguments: Any) -> Any:
    return json.loads(toolbox.call(name, json.dumps(arguments)))


def failure(toolbox: Toolbox, name: str, /, **arguments: Any) -> str:
    with pytest.raises(ToolFailed) as failed:
        toolbox.call(name, json.dumps(arguments))
    return str(failed.value)


def is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def noted(file: Path) -> list[int]:
    """The numbers of processes that a function wrote down."""
    waiting.until(file.exists)
    return [int(number) for number in file.read_text().split()]


def test_function_of_an_operator_is_called(box: Toolbox) -> None:
    """It is listed beside ours, and its result is JSON; one of asyncio's is awaited."""
    assert {"greet", "current_time", "weather"} <= box.functions().keys()
    assert called(box, "greet", name="Anna") == called(box, "greet_later", name="Anna") == "Good morning, Anna"


def test_child_is_kept_for_the_next_call(box: Toolbox) -> None:
    """And it isn't this process."""
    first = called(box, "pid")
    assert called(box, "pid") == first != os.getpid()


def test_no_child_is_there_before_it_is_needed(toolbox: Make) -> None:
    """A process in which nothing is called doesn't pay for it; looking at the settings leaves none either."""
    before = psutil.Process().children()
    box = toolbox()
    assert psutil.Process().children() == before
    box.check()
    assert psutil.Process().children() == before
    assert "greet" in box.functions()
    assert psutil.Process().children() == before


def test_unknown_function_is_not_found(box: Toolbox) -> None:
    """Whatever its name."""
    for name in ("nothing", "", "../greet", "x" * 1000):
        with pytest.raises(NotFound):
            box.call(name, "{}")


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ('{"name": 5}', "arguments.name"), ("{}", "arguments.name"), ('{"name": "a", "age": 5}', "arguments.age"),
        ("[]", "arguments"), ("5", "arguments"), ("{", "arguments"), ('{"name": "a"', "arguments"),
        ("", "arguments.name"),
        ('{"name":' + "[" * 5000, "arguments"), (f'{{"name": "{"x" * MAX_ARGUMENTS_BYTES}"}}', "arguments"),
        ('{"name": "\\ud800"}', "arguments"), ('{"\ud800": 1}', "arguments"),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit_are_named(box: Toolbox, arguments: str, field: str) -> None:
    """Whatever a model or a client writes."""
    with pytest.raises(InvalidField) as wrong:
        box.call("greet", arguments)
    assert wrong.value.field == field


def test_function_that_hangs_is_ended_with_all_it_started(toolbox: Make, tmp_path: Path) -> None:
    """Whoever called is told; the next call finds another child."""
    box, file = toolbox(limit_s=1.5), tmp_path / "pids"
    assert failure(box, "hang", file=str(file)) == "hang didn't answer within 1.5 seconds"
    own, other = noted(file)
    waiting.until(lambda: not is_running(own) and not is_running(other))
    assert called(box, "greet", name="Anna") == "Good morning, Anna"


def test_function_that_lets_no_thread_run_is_ended(toolbox: Make, tmp_path: Path) -> None:
    """Such as a regular expression without end."""
    file = tmp_path / "pid"
    assert "didn't answer" in failure(toolbox(limit_s=1), "hold", file=str(file))
    [pid] = noted(file)
    waiting.until(lambda: not is_running(pid))


def test_function_that_nobody_waits_for_is_ended(box: Toolbox, tmp_path: Path) -> None:
    """A client that is gone, or a job that was cancelled."""
    file = tmp_path / "pids"
    with pytest.raises(ToolFailed, match="hang was stopped"):
        box.call("hang", json.dumps({"file": str(file)}), file.exists)
    waiting.until(lambda: not is_running(noted(file)[0]))


def test_text_of_what_a_function_raises_stays_here(box: Toolbox) -> None:
    """What is told is its kind; the log has the places, and no text either."""
    with structlog.testing.capture_logs() as logs:
        assert failure(box, "fail") == "fail failed: RuntimeError"
    [logged] = [each for each in logs if each["event"] == "function_failed"]
    assert (logged["function"], logged["error"]) == ("fail", "RuntimeError")
    assert "odd_tools.py" in logged["where"][-1]
    assert "swordfish" not in str(logs)


def test_refusal_of_a_function_is_told_as_it_is(box: Toolbox) -> None:
    """But for what can't be stored."""
    assert failure(box, "refuse") == "no such\N{REPLACEMENT CHARACTER}order"


@pytest.mark.parametrize("name", ["die", "leave"])
def test_function_that_ends_its_process_has_failed(box: Toolbox, name: str) -> None:
    """With any status; the next call finds another child."""
    for arguments in ({"status": 0}, {"status": 3}) if name == "die" else ({},):
        assert failure(box, name, **arguments) == f"{name} ended the process it ran in"
    assert called(box, "greet", name="Anna") == "Good morning, Anna"


def test_idle_child_that_was_ended_is_replaced(box: Toolbox) -> None:
    """By whoever it was: the next call doesn't notice."""
    pid = called(box, "pid")
    for end in (signal.SIGKILL, signal.SIGTERM):
        os.kill(pid, end)
        before, pid = pid, called(box, "pid")
        assert pid != before


@pytest.mark.skipif(sys.platform != "linux", reason="other systems don't bound a process's addresses")
def test_function_that_takes_all_memory_has_failed(toolbox: Make) -> None:
    """And its child is not used again."""
    box = toolbox(limits=Limits(memory_bytes=128 << 20))
    before = called(box, "pid")
    assert failure(box, "grow") == "grow needed more than 128 MiB of memory"
    assert called(box, "pid") != before


@pytest.mark.parametrize("what", ["object", "nan", "circle", "surrogate"])
def test_result_that_is_not_json_is_a_failure(box: Toolbox, what: str) -> None:
    """Nobody is told anything that can't be read."""
    assert failure(box, "odd", what=what) == "odd returned what isn't JSON"


def test_result_with_a_nul_is_a_failure(box: Toolbox) -> None:
    """PostgreSQL couldn't keep it; what only looks like one is none."""
    assert "NUL" in failure(box, "odd", what="NUL")
    assert called(box, "many", count=1, letter="\\u0000") == "\\u0000"


def test_result_is_bounded(box: Toolbox) -> None:
    """By its bytes as JSON."""
    most = (64 << 10) - 2
    assert called(box, "many", count=most) == "x" * most
    assert failure(box, "many", count=most + 1) == "many returned more than 64 KiB"
    assert failure(box, "many", count=most // 2 + 1, letter="\u00e9") == "many returned more than 64 KiB"
    assert failure(box, "many", count=10_000_000) == "many returned more than 64 KiB"
    assert failure(box, "many", count=400_000_000)  # more than fits into its memory twice


def test_what_a_function_prints_and_reads_is_not_the_talk(box: Toolbox) -> None:
    """Its output goes to the log, and there is nothing to read."""
    assert called(box, "chatter") == called(box, "chatter") == ""


def test_functions_know_no_secret_but_what_they_are_given(toolbox: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that the operator names, and none of ours."""
    for name in ("FOREBAY_KEY_PEPPER", "CITY_KEY", "OTHER_KEY"):
        monkeypatch.setenv(name, "a secret")
    box = toolbox(variables=("CITY_KEY",))
    seen = {name: called(box, "see", variable=name) for name in ("FOREBAY_KEY_PEPPER", "CITY_KEY", "OTHER_KEY")}
    assert seen == {"FOREBAY_KEY_PEPPER": None, "CITY_KEY": "a secret", "OTHER_KEY": None}


def test_several_are_called_at_once(toolbox: Make, tmp_path: Path) -> None:
    """Each in a child of its own, of which two stay."""
    box, file = toolbox(places=3), tmp_path / "go"
    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(called, box, "wait_for", file=str(file)) for _ in range(3)]
        waiting.until(lambda: box._places._value == 0)
        file.touch()
        assert len({each.result() for each in running}) == 3
    assert len(box._idle) == 2


def test_call_that_finds_no_place_in_time_has_failed(toolbox: Make) -> None:
    """It may be tried again."""
    box = toolbox(limit_s=0.5, places=1)
    with box._place(lambda: False):
        assert failure(box, "greet", name="Anna") == "too many functions are running; try again"


@pytest.mark.parametrize("name", ["hang", "hold"])
def test_child_ends_with_its_parent(tmp_path: Path, name: str) -> None:
    """Killed in the middle of a call, in which the child is busy."""
    file = tmp_path / "pids"
    code = (
        "import json, sys; from tasks.functions.toolbox import Toolbox; from tasks.settings import FunctionSettings;"
        "box = Toolbox(FunctionSettings(modules=('odd_tools',), limit_s=2));"
        "box.call(sys.argv[1], json.dumps({'file': sys.argv[2]}))"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), MODULES))}
    with subprocess.Popen([sys.executable, "-c", code, name, str(file)], env=env) as parent:
        pids = noted(file)
        parent.kill()
    waiting.until(lambda: not any(map(is_running, pids)))


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("nowhere", "nowhere: ModuleNotFoundError"), ("empty_tools", "empty_tools: it has no function under @function"),
        ("taken_tools", "taken_tools: there is a function weather already"),
        ("broken_tools", "silent has no docstring"),
    ],
)  # fmt: skip
def test_module_that_cannot_be_used_is_told_at_the_start(toolbox: Make, module: str, said: str) -> None:
    """Which one, and what is wrong with it."""
    with pytest.raises(SettingsError, match=said):
        toolbox(modules=("odd_tools", module)).check()


def test_functions_are_tools_of_a_request(box: Toolbox) -> None:
    """Each once; a name that no function has is told with its place."""
    [greet, now] = toolset.tools(box, ["greet", "current_time", "greet"])
    assert greet == Tool("greet", "Greets somebody.", box.find("greet").parameters)
    assert now.name == "current_time"
    with pytest.raises(InvalidField) as wrong:
        toolset.tools(box, ["greet", "nothing"])
    assert wrong.value.field == "server_functions.1"
