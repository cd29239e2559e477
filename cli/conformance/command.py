"""`forebay conformance`."""

import json
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from cli.conformance import gateway, results, stack
from cli.conformance.gateway import Gateway
from cli.conformance.results import AS_IT_IS, RELAXED, Run
from cli.conformance.stack import Platform
from cli.conformance.suite import Suite
from cli.launcher import lineup

_WRITERS = {".json": lambda runs: json.dumps(results.as_json(runs), indent=2) + "\n", ".md": results.page}


@click.command()
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Write the results there too, as Markdown (.md) or JSON (.json). May be said again.",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep the tests and their environment there for the next time.",
)
@click.option("--only", metavar="EXPRESSION", help="Only tests that match, as pytest's -k takes it.")
def conformance(report: tuple[Path, ...], keep: Path | None, only: str | None) -> None:
    """Run OpenAI's own tests of its Python client against a platform that is started for it.

    They are fetched from the package index. Twice: as they are, and with what contradicts itself or can't be
    left out of their requests. The status is 1 where one of the second fails, or a call made no job.
    """
    for file in report:
        if file.suffix not in _WRITERS:
            raise click.UsageError(f"--report {file}: must end in .md or .json")
    with _folder(keep) as kept, tempfile.TemporaryDirectory(prefix="forebay-conformance-") as scratch:
        suite = Suite(kept.absolute())
        _say("Fetching the tests; the first time, this takes half a minute.")
        suite.fetch()
        _say("Starting a platform.")
        with stack.running(Path(scratch), _free_port(), _say) as platform:
            runs = [_run(suite, platform, name, only) for name in (AS_IT_IS, RELAXED)]
    click.echo(results.page(runs))
    for file in report:
        file.write_text(_WRITERS[file.suffix](runs))
    if not runs[-1].whole or runs[0].created != runs[0].jobs:
        sys.exit(1)


def _run(suite: Suite, platform: Platform, name: str, only: str | None) -> Run:
    _say(f"Running the tests: {name}.")
    door = Gateway(platform.url, platform.key, name == RELAXED, platform)
    before, seeded = platform.jobs(), platform.seeded
    with gateway.served(door) as url:
        outcomes = suite.run(url, only)
    made = platform.jobs() + door.passed.erased - before - (platform.seeded - seeded)
    return Run(name, outcomes, door.passed.created, made, door.passed.left_out)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="forebay-conformance-tests-") as folder:
        yield Path(folder)


def _free_port() -> int:
    """A port that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind((lineup.HOST, 0))
        return int(probe.getsockname()[1])


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)
