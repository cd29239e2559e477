"""docs/operating.md shows what works: its units run the Procfile's commands, and systemd takes them."""

import re
import shlex
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from honcho.environ import parse_procfile

from tests.operate import machines
from tests.support.platform import ROOT

UNITS = dict(
    re.findall(
        r"```ini\n# /etc/systemd/system/(\S+)\n(.*?)```", (ROOT / "docs" / "operating.md").read_text(), re.DOTALL
    )
)
# Of a unit: which instance, the Procfile's name of it, and what stands in its environment or there.
SAME = {
    "forebay-api@.service": ("8000", "api", {"$PORT": "8000"}),
    "forebay-worker@.service": ("demo-chat", "worker-demo-chat", {"${SLOTS}": "4"}),
    "forebay-control.service": ("", "control", {}),
    "forebay-flower.service": ("", "flower", {}),
}


def specified(text: str, instance: str) -> str:
    """As systemd.unit(5) has it: `%i` is what stands behind the @, `%I` the path that is escaped so."""
    means = {"%": "%", "i": instance, "I": instance.replace("-", "/")}
    return re.sub("%([%iI])", lambda found: means[found[1]], text)


def setting(unit: str, name: str) -> str:
    [value] = re.findall(rf"^{name}=(.*)$", UNITS[unit], re.MULTILINE)
    return str(value)


@pytest.mark.parametrize("unit", UNITS)
def test_unit_runs_the_command_of_the_procfile(unit: str) -> None:
    instance, name, stands_for = SAME[unit]
    command = re.sub(r"^(/opt/forebay/current/|/usr/bin/env )\.venv/bin/", "", setting(unit, "ExecStart"))
    command = specified(command, instance)
    line = parse_procfile((ROOT / "Procfile").read_text()).processes[name].rpartition("; exec ")[2]
    for said, meant in stands_for.items():
        command, line = command.replace(said, meant), line.replace(said, meant)
    assert shlex.split(command) == shlex.split(line)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    files = []
    for name, text in UNITS.items():
        files.append(tmp_path / name.replace("@.", f"@{SAME[name][0]}."))
        programs = str(Path(sys.executable).parent)
        there = text.replace("/opt/forebay/current/.venv/bin", programs)
        files[-1].write_text(there.replace("/opt/forebay/current", str(ROOT)))
    done = subprocess.run(["systemd-analyze", "verify", *files], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_worker_starts_others_by_the_release_that_it_is_of(tmp_path: Path) -> None:
    """Also once the link shows another one."""
    release, current = tmp_path / "releases" / "1", tmp_path / "current"
    venv.create(release / ".venv", symlinks=True)
    current.symlink_to(release)
    python, *_ = setting("forebay-worker@.service", "ExecStart").partition(" -m ")
    argv = [*shlex.split(python), "-c", "import sys; print(sys.executable)"]
    done = subprocess.run(argv, cwd=current, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(release / ".venv" / "bin" / "python")


def test_nginx_that_is_shown_goes_to_two_apis() -> None:
    assert "server 127.0.0.1:7001;\n    server 127.0.0.1:7002;" in machines.shown([7001, 7002], 7000)
