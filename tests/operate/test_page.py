"""docs/operating.md shows what works: its units run the Procfile's commands, and systemd takes them."""

import re
import shlex
import shutil
import subprocess
import sys
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
# A unit's name, the Procfile's, and what stands for the model, its slots and the port there.
SAME = {
    "forebay-api@.service": ("api", {"%i": "$PORT"}),
    "forebay-worker@.service": ("worker-demo-chat", {"%I": "demo-chat", "${SLOTS}": "4"}),
    "forebay-control.service": ("control", {}),
    "forebay-flower.service": ("flower", {}),
}


def setting(unit: str, name: str) -> str:
    [value] = re.findall(rf"^{name}=(.*)$", UNITS[unit], re.MULTILINE)
    return str(value)


@pytest.mark.parametrize("unit", UNITS)
def test_unit_runs_the_command_of_the_procfile(unit: str) -> None:
    name, stands_for = SAME[unit]
    command = setting(unit, "ExecStart").removeprefix("/opt/forebay/v1/.venv/bin/").replace("%%", "%")
    for said, meant in stands_for.items():
        command = command.replace(said, meant)
    line = parse_procfile((ROOT / "Procfile").read_text()).processes[name].rpartition("; exec ")[2]
    assert shlex.split(command) == shlex.split(line)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    files = []
    for name, text in UNITS.items():
        files.append(tmp_path / name.replace("@.", "@8000."))
        programs = str(Path(sys.executable).parent)
        files[-1].write_text(text.replace("/opt/forebay/v1/.venv/bin", programs).replace("/opt/forebay/v1", str(ROOT)))
    done = subprocess.run(["systemd-analyze", "verify", *files], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_nginx_that_is_shown_goes_to_two_apis() -> None:
    assert "server 127.0.0.1:7001;\n    server 127.0.0.1:7002;" in machines.shown([7001, 7002], 7000)
