"""Sixty questions with known answers, asked of a platform of its own.

`python -m benchmarks.quality [--model gemma]`
"""

import tempfile
from pathlib import Path

import click
import httpx
from rich.console import Console

from benchmarks import quality, stacks, tables
from benchmarks.quality import Outcome
from benchmarks.subjects import SUBJECTS


@click.command(help=__doc__)
@click.option("--model", type=click.Choice(list(SUBJECTS)), default="demo", show_default=True, help="Which answers.")
@click.option("--wrong", is_flag=True, help="Also print what was answered wrongly.")
def main(model: str, wrong: bool) -> None:
    console, subject = Console(width=max(120, Console().width)), SUBJECTS[model]
    with (
        tempfile.TemporaryDirectory(prefix="forebay-bench-") as folder,
        stacks.platform(Path(folder) / "quality", subject.shipped()) as stack,
        httpx.Client(
            base_url=f"http://{stack.address[0]}:{stack.address[1]}",
            headers={"Authorization": f"Bearer {stack.key}"},
            timeout=70,
        ) as http,
    ):
        quality.bring(http)
        outcomes = quality.ask(http, quality.read())
    tables.show(console, quality.table(outcomes, subject.name))
    for outcome in outcomes if wrong else ():
        if not _is_well(outcome):
            console.print(_told(outcome), markup=False, highlight=False)


def _is_well(outcome: Outcome) -> bool:
    return outcome.refused if not outcome.asked.answer else outcome.right and outcome.cited


def _told(outcome: Outcome) -> str:
    best = outcome.result["passages"][0]["similarity"] if outcome.result["passages"] else None
    marks = "".join(letter if is_so else "-" for letter, is_so in zip("fprcm", _said_of(outcome), strict=True))
    return f"{marks} {outcome.result['question']} -> {outcome.result['text']!r} ({best})"


def _said_of(outcome: Outcome) -> tuple[bool, ...]:
    return outcome.found, outcome.read, outcome.right, outcome.cited, outcome.misleads


if __name__ == "__main__":
    main()
