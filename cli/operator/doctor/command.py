"""`forebay doctor`: looks at all of an installation that runs and says what to do."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from click.core import ParameterSource

from cli.client.client import DEFAULT_URL
from cli.launcher import datafolder
from cli.operator import database
from cli.operator.doctor import brokers, jobs, machine, postgres, processes, surroundings
from cli.operator.doctor.finding import Check, Finding, Installation, Level, wrong
from tasks import errors, settings
from tasks.streams import stream

_LIMIT_S = 5.0
_PART_WIDTH = 12


@dataclass(frozen=True, slots=True)
class Branch:
    """A check, and those that make sense only where it finds nothing wrong."""

    check: Check
    further: Sequence["Branch"] = ()


def _each(*checks: Check) -> Sequence[Branch]:
    return tuple(Branch(check) for check in checks)


_OF_TABLES = _each(postgres.roles, jobs.workers, machine.files, jobs.sweep, jobs.waiting, jobs.failing, jobs.webhooks)
_OF_POSTGRES = _each(
    postgres.writes, postgres.backups, postgres.clock, postgres.transactions, postgres.room_for_connections
)
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
    if click.get_current_context().get_parameter_source("data") is ParameterSource.COMMANDLINE:
        surroundings.refuse_two()
    there = surroundings.find(data)
    try:
        own = settings.read()
    except errors.SettingsError as error:
        raise click.ClickException(str(error)) from error
    streams, broker = (
        stream.connect(each, timeout_s=_LIMIT_S, max_connections=2) for each in (own.redis_url, own.broker_url)
    )
    database_url = next(filter(None, map(os.environ.get, database.URL)), own.database_url)
    with database.reached(database_url) as sessions, closing(streams), closing(broker):
        installation = Installation(own, sessions, streams, broker, there.folder, url or there.api, there.flower)
        found = []
        for finding in look(installation):
            found.append(finding)
            if not as_json:
                click.echo(told(finding))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in found], indent=1))
    sys.exit(any(finding.level is Level.WRONG for finding in found))


def look(installation: Installation, branches: Sequence[Branch] = EXAMINATION) -> Iterator[Finding]:
    """What all checks find, in their order."""
    for branch in branches:
        found = _tried(branch.check, installation)
        yield from found
        if not any(finding.level is Level.WRONG for finding in found):
            yield from look(installation, branch.further)


def told(finding: Finding) -> str:
    """The finding as a line, with its advice below what it is about. Each can be printed before the next is there."""
    rows = [(str(finding.level), finding.part, finding.seen)]
    if finding.advice:
        rows.append(("", "", f"→ {finding.advice}"))
    widths = f"<{max(map(len, Level))}", f"<{_PART_WIDTH}"
    return "\n".join(f"{level:{widths[0]}}  {part:{widths[1]}}  {said}" for level, part, said in rows)


def _tried(check: Check, installation: Installation) -> list[Finding]:
    """What the check finds; that it couldn't look is a finding too."""
    found: list[Finding] = []
    try:
        found.extend(check(installation))
    except Exception as error:  # noqa: BLE001 one look that fails must not cost the others, whatever it stumbles over
        said = str(getattr(error, "orig", error)).strip().partition("\n")[0] or type(error).__name__
        part = f"{check.__module__.rpartition('.')[2]}.{check.__name__}"
        found.append(wrong(part, f"this can't be looked at: {said}", "see what else is wrong, then look again"))
    return found
