"""`forebay usage`: what the tenants' jobs used in a month."""

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

from cli.main import main
from db.session import Sessions
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.keys import Caller
from tasks.limits.spent import Spent
from tasks.streams.transcript import Transcript
from tests import tables


@pytest.fixture
def ended(sessions: Sessions, caller: Caller) -> None:
    """A job of each of two tenants that ended this month, and one of `ours` that ended in March 2025."""
    for owner, prompt in ((caller, 1), (tables.tenant(sessions, "theirs"), 2), (caller, 4)):
        job_id = tables.running(sessions, owner).job_id
        with sessions.begin() as session:
            tables.finish(session, job_id, 1, Transcript(), Outcome(Status.SUCCEEDED, Spent(prompt, 10)))
    with sessions.begin() as session:
        session.execute(text("UPDATE ledger SET ended_at = '2025-03-31T12:00:00Z' WHERE prompt_tokens = 4"))


def usage(postgres_url: str, *options: str) -> Result:
    return CliRunner().invoke(main, ["usage", "--database-url", postgres_url, *options])


def rows(result: Result) -> list[list[str]]:
    assert result.exit_code == 0, result.output
    return [line.split() for line in result.stdout.splitlines()]


@pytest.mark.usefixtures("ended")
def test_usage_is_of_all_tenants_this_month(postgres_url: str) -> None:
    """A row for each tenant and model, and the sum."""
    assert rows(usage(postgres_url)) == [
        ["tenant", "model", "jobs", "prompt", "completion", "embedding", "cached"],
        ["ours", "alpha", "1", "1", "10", "0", "0"],
        ["theirs", "alpha", "1", "2", "10", "0", "0"],
        ["total", "2", "3", "20", "0", "0"],
    ]


@pytest.mark.usefixtures("ended")
def test_usage_is_of_one_tenant_and_another_month(postgres_url: str) -> None:
    march = rows(usage(postgres_url, "--month", "2025-03", "--tenant", "ours", "--by", "day"))
    assert march[1:] == [["ours", "2025-03-31", "1", "4", "10", "0", "0"], ["total", "1", "4", "10", "0", "0"]]
    assert rows(usage(postgres_url, "--month", "2025-03", "--tenant", "theirs"))[1:] == [["total", *"00000"]]


@pytest.mark.usefixtures("sessions")
def test_month_that_is_none_and_tenant_that_is_not_there_are_refused(postgres_url: str) -> None:
    assert usage(postgres_url, "--month", "2025-13").exit_code == 2
    refused = usage(postgres_url, "--tenant", "nobody")
    assert (refused.exit_code, "no tenant nobody" in refused.stderr) == (1, True)
