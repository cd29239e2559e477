"""`forebay doctor`: what is well, and all that it finds as it is told."""

import json
import subprocess
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from cli.main import main
from cli.operator.doctor import brokers, command, jobs, machine, postgres
from cli.operator.doctor.finding import Check, Finding, Installation, Level, ok
from db.session import Sessions
from tests.cli.doctor.looks import NOWHERE, SECRETS, asking, found

WELL = [
    postgres.reachable,
    postgres.tables,
    postgres.roles,
    postgres.writes,
    postgres.backups,
    postgres.clock,
    postgres.transactions,
    postgres.room_for_connections,
    brokers.reachable,
    brokers.memory,
    jobs.waiting,
    jobs.failing,
    jobs.webhooks,
    machine.models,
]


@pytest.mark.parametrize("check", WELL, ids=lambda check: check.__name__)
def test_what_is_well_is_ok(check: Check, installation: Installation) -> None:
    assert {level for level, _ in found(check, installation)} == {Level.OK}


def test_what_a_look_stumbles_over_costs_no_other(installation: Installation) -> None:
    def stumbles(_: Installation) -> Iterator[Finding]:
        yield ok("first", "seen")
        raise subprocess.TimeoutExpired("something", 1)

    told = list(command.look(installation, [command.Branch(stumbles), command.Branch(machine.models)]))
    assert [finding.level for finding in told] == [Level.OK, Level.WRONG, Level.OK]
    assert "timed out" in told[1].seen


def test_what_hangs_on_something_wrong_is_not_looked_at(installation: Installation) -> None:
    """One finding for a PostgreSQL that is away, and not one for each thing that it would be asked."""
    with asking(installation, f"postgresql://postgres@{NOWHERE}/postgres") as away:
        told = list(command.look(away, command.EXAMINATION[1:2]))
    assert [finding.part for finding in told] == ["PostgreSQL"]


def test_command_says_all_and_ends_with_status_1(
    installation: Installation, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody runs here is wrong, what can be looked at is looked at, and all that isn't well has its advice."""
    own = installation.settings
    env = {"FOREBAY_DATABASE_URL": own.database_url, "FOREBAY_REDIS_URL": own.redis_url, **SECRETS}
    env |= {"FOREBAY_CATALOG": str(own.catalog), "FOREBAY_URL": installation.api}
    result = CliRunner().invoke(main, ["doctor", "--json"], env=env)
    assert result.exit_code == 1
    findings = [Finding(**{**one, "level": Level(one["level"])}) for one in json.loads(result.stdout)]
    assert {"workers", "sweep", "API"} <= {one.part for one in findings if one.level is Level.WRONG}
    assert [bool(one.advice) for one in findings] == [one.level is not Level.OK for one in findings]
    lines = CliRunner().invoke(main, ["doctor"], env=env).stdout.splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("wrong  ") and "alpha has none" in line)
    assert lines[place + 1].strip() == "→ start one; if it doesn't stay, read its log"
