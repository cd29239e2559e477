"""Breaks a platform and looks whether its promises hold: `python -m tests.faults --rows F02,F06 --seeds 1,2 --short`.

Rows that need a real model play on the demo model, or with --model gemma on that, which `make gemma` fetches.

Exits non-zero when one doesn't, when a fault that was meant to happen never did, and but for --short when it took
longer than it should. Everything is in `tests/faults/rows`; histories and logs stay in --folder when one is named.
"""

import sys
import tempfile
import time
from pathlib import Path
from random import Random

import click
from rich.console import Console

from tests.faults import rows, table
from tests.faults.checker import Tally
from tests.faults.clients import Key
from tests.faults.ground import Ground
from tests.faults.rig import Rig
from tests.faults.subjects import SUBJECTS


@click.command(help=__doc__)
@click.option("--rows", "names", default=",".join(rows.ALL), help="Which, by number; all when not given.")
@click.option("--drawn", default="", help="Further rows, of which the first seed draws some.")
@click.option("--draw", default=0, show_default=True, help="How many of those.")
@click.option("--seeds", default="1", show_default=True, help="Each row is played with each.")
@click.option("--model", type=click.Choice(list(SUBJECTS)), default="demo", show_default=True, help="The real one.")
@click.option("--short", is_flag=True, help="Fewer injections.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where logs and histories are kept.")
def main(names: str, drawn: str, draw: int, seeds: str, model: str, short: bool, folder: Path | None) -> None:
    numbers = [int(seed) for seed in seeds.split(",")]
    further = _known(drawn)
    chosen = _known(names) + Random(numbers[0]).sample(further, min(draw, len(further)))
    subject = SUBJECTS[model]
    if not subject.file.is_file():
        raise click.UsageError(f"--model {model}: there is no {subject.file}; `make {model}` fetches it")
    console = Console(width=max(200, Console().width))
    console.print(f"seeds {seeds}: {', '.join(chosen)}")
    with tempfile.TemporaryDirectory(prefix="forebay-faults-", ignore_cleanup_errors=True) as temporary:
        rig = Rig((folder or Path(temporary)) / f"{time.time_ns()}", subject)
        broken = _play(console, rig, chosen, numbers, short)
    sys.exit(1 if broken else 0)


def _known(names: str) -> list[str]:
    """Rows by their numbers, separated by commas. Raises `UsageError`."""
    found = [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in found if name not in rows.ALL]:
        raise click.UsageError(f"{','.join(unknown)}: there are {', '.join(rows.ALL)}")
    return found


def _play(console: Console, rig: Rig, chosen: list[str], seeds: list[int], short: bool) -> bool:
    whole, broken = table.empty(), False
    undisturbed: dict[Key, tuple[str, int]] = {}
    try:
        rig.start()
        for name in chosen:
            for seed in seeds:
                played = table.play(rows.ALL[name], Ground(rig, seed, short, name, undisturbed))
                if isinstance(played, Tally):
                    broken = broken or played.broken or bool(played.missed_aims and not short)
                table.say(console, name, seed, played)
                table.add(whole, name, seed, played)
    finally:
        rig.close()
    console.print(whole)
    return broken


if __name__ == "__main__":
    main()
