"""Goes the way of an operator: `python -m tests.operate --steps servers,rolling --short`.

Servers with passwords, two machines' worth of processes behind nginx, jobs under rolling restarts, an upgrade, a
backup, an image, and what `forebay doctor` says of it all. Each step says what was seen, or what failed; then the exit
status is 1. A step that needs a program which isn't here is left out. Logs stay in --folder when one is named.
"""

import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import click

from tests.operate import backup, doctor, image, machines, rolling, servers, upgrade
from tests.operate.installation import Installation, LeftOut

FAILED = "FAILED"
Step = Callable[[Installation], str]
# In this order; each stands on those that it names.
STEPS: dict[str, tuple[Step, tuple[str, ...]]] = {
    "servers": (servers.start, ()),
    "machines": (machines.start, ("servers",)),
    "rolling": (rolling.roll, ("machines",)),
    "upgrade": (upgrade.go_on, ("servers",)),
    "backup": (backup.restore, ("machines",)),
    "image": (image.build, ()),
    "doctor": (doctor.examine, ("machines",)),
}


@click.command(help=__doc__)
@click.option(
    "--steps", "names", default=",".join(STEPS), help="Which; all when not given. What they need comes first."
)
@click.option("--short", is_flag=True, help="Fewer jobs, and no model but the echo.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where logs are kept.")
def main(names: str, short: bool, folder: Path | None) -> None:
    chosen = _chosen([name.strip() for name in names.split(",")])
    with tempfile.TemporaryDirectory(prefix="forebay-operate-", ignore_cleanup_errors=True) as temporary:
        installation = Installation((folder or Path(temporary)) / f"{time.time_ns()}", short)
        try:
            failed = _play(chosen, installation)
        finally:
            installation.close()
    if failed:
        click.echo(f"failed: {', '.join(failed)}")
    sys.exit(1 if failed else 0)


def _chosen(names: list[str]) -> list[str]:
    """The steps of these names and those that they stand on, in their order. Raises `UsageError`."""
    if unknown := [name for name in names if name not in STEPS]:
        raise click.UsageError(f"{','.join(unknown)}: there are {', '.join(STEPS)}")
    wanted = set(names)
    for name in reversed(STEPS):
        if name in wanted:
            wanted |= set(STEPS[name][1])
    return [name for name in STEPS if name in wanted]


def _play(chosen: list[str], installation: Installation) -> list[str]:
    """Takes the steps and says how each went. Those that failed, or couldn't be taken since another had."""
    failed: list[str] = []
    for name in chosen:
        step, needs = STEPS[name]
        began_at = time.monotonic()
        if missing := [need for need in needs if need in failed]:
            verdict, seen = FAILED, f"needs {', '.join(missing)}"
        else:
            verdict, seen = _took(step, installation)
        click.echo(f"{name:<10}{verdict:<10}{seen} ({time.monotonic() - began_at:.0f} s)")
        if verdict == FAILED:
            failed.append(name)
    return failed


def _took(step: Step, installation: Installation) -> tuple[str, str]:
    """The step's verdict, and what was seen."""
    noted = len(installation.wrong)
    try:
        verdict, seen = "ok", step(installation)
    except LeftOut as why:
        return "left out", str(why)
    except Exception as error:  # noqa: BLE001 one step's end must not be that of the others
        traceback.print_exc()
        verdict, seen = FAILED, f"{type(error).__name__}: {error}"
    if wrong := installation.wrong[noted:]:
        verdict, seen = FAILED, "; ".join((seen, *wrong))
    return verdict, seen


if __name__ == "__main__":
    main()
