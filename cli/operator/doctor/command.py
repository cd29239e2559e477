"""`forebay doctor`: looks at all of an installation that runs and says what to do."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import psutil
import redis
from sqlalchemy.exc import SQLAlchemyError

from cli.client import columns
from cli.client.client import DEFAULT_URL
from cli.launcher import datafolder, leftovers, lineup
from cli.operator import database
from cli.operator.doctor import brokers, jobs, machine, postgres, processes
from cli.operator.doctor.finding import Check, Finding, Installation, Level, wrong
from tasks import errors, settings
from tasks.streams import stream

_LIMIT_S = 5.0
_FLOWER = f"http://{lineup.HOST}:5555"


@dataclass(frozen=True, slots=True)
class Branch:
    """A check, and those that make sense only where it finds nothing wrong."""

    check: Check
    further: Sequence["Branch"] = ()


def _each(*checks: Check) -> Sequence[Branch]:
    return tuple(Branch(check) for check in checks)


_OF_TABLES = _each(postgres.roles, jobs.workers, jobs.sweep, jobs.waiting, jobs.failing, jobs.webhooks)
_OF_POSTGRES = _each(postgres.writes, postgres.clock, postgres.transactions, postgres.room_for_connections)
EXAMINATION = (
    *_each(processes.settings),
    Branch(postgres.reachable, (*_OF_POSTGRES, Branch(postgres.tables, _OF_TABLES))),
    Branch(brokers.reachable, _each(brokers.keeps, brokers.memory)),
    *_each(processes.api, processes.flower),
    *_each(machine.models, machine.disk, machine.memory, machine.wall, machine.logs),
)


@click.command()
@datafolder.option("The data folder of the `forebay up` that runs here, unless FOREBAY_DATABASE_URL is set.")
@click.option("--url", envvar="FOREBAY_URL", help=f"Of the API.  [default: the data folder's, else {DEFAULT_URL}]")
@click.option("--json", "as_json", is_flag=True, help="One object a finding, for a program.")
def doctor(data: Path, url: str | None, as_json: bool) -> None:
    """Look at every part of a running installation and say what to do; status 1 where something is wrong.

    With servers of your own: in the environment that the processes have. It changes nothing, and may be run any time.
    """
    folder, api, flower = _surroundings(data)
    try:
        own = settings.read()
    except errors.SettingsError as error:
        raise click.ClickException(str(error)) from error
    streams, broker = (
        stream.connect(each, timeout_s=_LIMIT_S, max_connections=2) for each in (own.redis_url, own.broker_url)
    )
    database_url = next(filter(None, map(os.environ.get, database.URL)), own.database_url)
    with database.reached(database_url) as sessions, closing(streams), closing(broker):
        found = list(look(Installation(own, sessions, streams, broker, folder, url or api, flower)))
    click.echo(json.dumps([asdict(finding) for finding in found], indent=1) if as_json else told(found))
    sys.exit(any(finding.level is Level.WRONG for finding in found))


def look(installation: Installation, branches: Sequence[Branch] = EXAMINATION) -> Iterator[Finding]:
    """What all checks find, in their order."""
    for branch in branches:
        found = _tried(branch.check, installation)
        yield from found
        if not any(finding.level is Level.WRONG for finding in found):
            yield from look(installation, branch.further)


def told(found: Sequence[Finding]) -> str:
    """The findings as lines, the advice below what it is about."""
    rows: list[tuple[str, str, str]] = []
    for finding in found:
        rows.append((finding.level, finding.part, finding.seen))
        if finding.advice:
            rows.append(("", "", f"→ {finding.advice}"))
    return columns.aligned(rows)


def _tried(check: Check, installation: Installation) -> list[Finding]:
    """What the check finds; that it couldn't look is a finding too."""
    found: list[Finding] = []
    try:
        found.extend(check(installation))
    except (SQLAlchemyError, redis.RedisError, errors.ForebayError, OSError) as error:
        said = str(getattr(error, "orig", error)).strip().partition("\n")[0]
        part = f"{check.__module__.rpartition('.')[2]}.{check.__name__}"
        found.append(wrong(part, f"this can't be looked at: {said}", "see what else is wrong, then look again"))
    return found


def _surroundings(data: Path) -> tuple[Path, str, str | None]:
    """The folder of the installation's files, and where its API and its Flower are.

    Of a `forebay up` also the environment, which becomes our own. Raises `ClickException` where none runs.
    """
    if any(name.startswith("FOREBAY_DATABASE_URL") for name in os.environ):
        return Path.cwd(), DEFAULT_URL, _FLOWER if "FLOWER_BASIC_AUTH" in os.environ else None
    folder = datafolder.DataFolder(data.resolve())
    running = leftovers.running(folder.record)
    if lineup.API not in running:
        raise click.ClickException(f"set FOREBAY_DATABASE_URL …, or give --data: no `forebay up` runs with {data}")
    for pid in running.values():
        theirs = psutil.Process(pid).environ().items()
        os.environ.update({name: value for name, value in theirs if name.startswith(("FOREBAY_", "FLOWER_"))})
    flower = _argument(running[lineup.FLOWER], "--port=") if lineup.FLOWER in running else None
    return (
        folder.root,
        f"http://{_argument(running[lineup.API], f'{lineup.HOST}:', whole=True)}",
        f"http://{lineup.HOST}:{flower}" if flower else None,
    )


def _argument(pid: int, begins: str, *, whole: bool = False) -> str:
    """What follows in the argument that begins so, or all of it. Raises `StopIteration` where there is none."""
    found = next(part for part in psutil.Process(pid).cmdline() if part.startswith(begins))
    return found if whole else found.removeprefix(begins)
