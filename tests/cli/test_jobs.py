"""`forebay jobs`: the list, and the end of what waits for a model that is gone."""

import datetime as dt

import pytest
import redis
from click.testing import CliRunner, Result

from cli.client import jobs
from cli.client.client import Client
from cli.main import main
from db.session import Sessions
from tasks.keys import Caller
from tests import hooks, tables
from tests.cli.terminal import terminal
from tests.support.platform import Stack, free_port


def forebay(*argv: str, **env: str) -> Result:
    return CliRunner().invoke(main, argv, env=env)


@pytest.fixture
def servers(postgres_url: str, redis_url: str, client: redis.Redis) -> dict[str, str]:
    """The environment in which an operator's command finds the servers."""
    return {"FOREBAY_DATABASE_URL": postgres_url, "FOREBAY_REDIS_URL": redis_url}


def test_newest_jobs_are_listed_and_can_be_told_apart(stack: Stack) -> None:
    """A bare `jobs` is `jobs list`; each filter is the API's."""
    asked = {"FOREBAY_URL": stack.url, "FOREBAY_KEY": stack.key}
    with Client(stack.url, stack.key) as http:
        job = http.end(http.submit({"type": "generate", "model": "echo", "input": {"prompt": "one"}})["id"])
    head, newest, *_ = forebay("jobs", **asked).stdout.splitlines()
    assert head.split() == ["id", "status", "type", "model", "age"]
    assert newest.split()[:4] == [job["id"], "succeeded", "generate", "echo"]
    only = ["--status", "succeeded", "--model", "echo", "--type", "generate", "--limit", "1"]
    assert [line.split()[0] for line in forebay("jobs", "list", *only, **asked).stdout.splitlines()[1:]] == [job["id"]]
    assert job["id"] not in forebay("jobs", "--status", "cancelled", **asked).stdout


@pytest.mark.parametrize(
    ("seconds", "shown"), [(-3, "0 s"), (59, "59 s"), (60, "1 min"), (7199, "1 h"), (86400 * 3 + 5, "3 d")]
)
def test_age_is_told_in_one_unit(seconds: int, shown: str) -> None:
    """The largest that fits; a clock that is behind makes nobody younger than new."""
    assert jobs.age(dt.timedelta(seconds=seconds)) == shown


def test_jobs_that_wait_are_ended_in_batches(
    sessions: Sessions, caller: Caller, servers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them, however many; what runs is left alone, and said to be."""
    monkeypatch.setattr(jobs, "_ENDS_AT_ONCE", 2)
    running = hooks.begin(sessions, caller)
    waiting = [tables.submit(sessions, caller).id for _ in range(5)]
    ended = forebay("jobs", "end", "--model", "alpha", **servers)
    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "5 ended\n", "1 running, left alone\n")
    assert {tables.column(sessions, job_id, "error_code") for job_id in waiting} == {"model_removed"}
    assert tables.column(sessions, running, "status") == "running"
    assert forebay("jobs", "end", "--model", "alpha", **servers).stdout == "no job waits for alpha\n"


def test_jobs_of_a_model_with_a_living_worker_are_ended_only_on_demand(
    sessions: Sessions, caller: Caller, servers: dict[str, str]
) -> None:
    """A worker will run them; a slip of the name must not cost them."""
    job_id = tables.submit(sessions, caller).id
    tables.worker(sessions)
    refused = forebay("jobs", "end", "--model", "alpha", **servers)
    assert (refused.exit_code, "alpha has a worker that lives" in refused.stderr) == (1, True)
    assert tables.column(sessions, job_id, "status") == "queued"
    assert forebay("jobs", "end", "--model", "alpha", "--yes", **servers).stdout == "1 ended\n"


def test_jobs_end_without_redis_too(sessions: Sessions, caller: Caller, servers: dict[str, str]) -> None:
    """Whoever follows them is told from PostgreSQL; a URL that is none is refused."""
    job_id = tables.submit(sessions, caller).id
    nonsense = forebay("jobs", "end", "--model", "alpha", **servers | {"FOREBAY_REDIS_URL": "nonsense"})
    assert (nonsense.exit_code, "--redis-url" in nonsense.stderr) == (2, True)
    nowhere = {"FOREBAY_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    ended = forebay("jobs", "end", "--model", "alpha", **servers | nowhere)
    assert (ended.exit_code, ended.stdout, "end_not_announced" in ended.stderr) == (0, "1 ended\n", True)
    assert tables.column(sessions, job_id, "status") == "failed"


def test_somebody_at_a_terminal_is_asked_first(sessions: Sessions, caller: Caller, servers: dict[str, str]) -> None:
    """No is no, and yes is yes."""
    job_id = tables.submit(sessions, caller).id
    for answer, status in (("n", "queued"), ("y", "failed")):
        with terminal("jobs", "end", "--model", "alpha", **servers) as shown:
            assert "End 1 that wait for alpha" in shown.expect("[y/N]: ")
            shown.type(f"{answer}\n")
            shown.expect("Aborted!" if answer == "n" else "1 ended")
            assert shown.status() == (1 if answer == "n" else 0)
        assert tables.column(sessions, job_id, "status") == status
