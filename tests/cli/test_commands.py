"""The commands of a client, against the whole platform: `submit`, `watch`, `keys`, and those about documents."""

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from cli.client import client as api
from cli.client import submit
from cli.client.client import Client
from cli.launcher import datafolder, embedded, modelfiles
from cli.main import main
from cli.operator import database
from db.session import Sessions
from tasks import ids
from tasks.jobs.lifecycle import Status
from tasks.keys import Caller
from tests import tables
from tests.support.catalogs import without_embedding_model
from tests.support.platform import Stack


def forebay(*argv: str, stdin: str | None = None, **env: str) -> Result:
    return CliRunner().invoke(main, argv, input=stdin, env=env)


@pytest.fixture
def asked(stack: Stack) -> dict[str, str]:
    """The environment in which the commands ask the running platform."""
    return {"FOREBAY_URL": stack.url, "FOREBAY_KEY": stack.key}


def test_submit_prints_the_id_that_watch_takes(asked: dict[str, str]) -> None:
    """One command asks, another, later and elsewhere, follows."""
    job_id = forebay("submit", "--model", "echo", "--param", "temperature=0", "one two", **asked).stdout.strip()
    watched = forebay("watch", job_id, **asked)
    assert (watched.exit_code, watched.stdout) == (0, "one two\n")


def test_submit_watches_and_reads_stdin(asked: dict[str, str]) -> None:
    """`-` is the prompt from stdin, and `--watch` prints the answer instead of the id."""
    options = ["--type", "generate", "--model", "echo", "--param", "temperature=0", "--lane", "batch", "--watch"]
    assert forebay("submit", *options, "-", stdin="three four", **asked).stdout == "three four\n"


def test_submit_says_when(asked: dict[str, str]) -> None:
    """Each time is a flag, and what is wrong with one is told by its name."""
    times = ["--run-at", "2999-01-01T00:00:00Z", "--deadline-s", "5"]
    refused = forebay("submit", *times, "hello", **asked)
    assert (refused.exit_code, "run_at" in refused.stderr) == (1, True)
    job_id = forebay("submit", "--max-queue-s", "60", "--deadline-s", "5", "hello", **asked).stdout.strip()
    with Client(asked["FOREBAY_URL"], asked["FOREBAY_KEY"]) as client:
        job = client.get(job_id)
    assert (job["deadline_s"], job["expires_at"] > job["created_at"]) == (5, True)


def test_requeue_is_an_operators_and_only_of_what_may_be(stack: Stack, asked: dict[str, str]) -> None:
    """A job that took workers with it runs once more under a new id; one that succeeded is refused."""
    options = ["--catalog", str(stack.catalog), "--data", str(stack.data)]
    with Client(stack.url, stack.key) as client:
        job = client.submit({"type": "generate", "model": "echo", "input": {"prompt": "one two"}})
        client.end(job["id"])
        with database.opened(embedded.postgres_url(stack.data)) as session:
            tables.put(session, ids.parse(job["id"]), Status.FAILED, error_code="poison")
        again = forebay("requeue", *options, job["id"])
        assert again.exit_code == 0, again.stderr
        ended = client.end(again.stdout.strip())
    assert (ended["status"], ended["retry_of"]) == ("succeeded", job["id"])
    for refused in (ended["id"], f"job_{0:032x}", "job_x"):
        assert forebay("requeue", *options, refused).exit_code != 0


def test_requeue_knows_the_models_that_up_was_given(
    sessions: Sessions, caller: Caller, postgres_url: str, tmp_path: Path
) -> None:
    """They stand in the data folder's catalogue and in no other."""
    entry = {"engine": "echo", "context": 64, "slots": 2, "types": ["generate"]}
    modelfiles.write(datafolder.DataFolder(tmp_path).catalog, {"alpha": entry})
    job_id = tables.submit(sessions, caller).id
    with sessions.begin() as session:
        tables.put(session, job_id, Status.FAILED, error_code="poison")
    again = forebay("requeue", "--data", str(tmp_path), "--database-url", postgres_url, ids.show(job_id))
    assert (again.exit_code, again.stdout.startswith("job_")) == (0, True), again.stderr


def test_key_comes_from_the_data_folder(stack: Stack) -> None:
    """Beside a running `forebay up` nobody has to copy a key."""
    options = ["--url", stack.url, "--data", str(stack.data), "--model", "echo"]
    assert forebay("submit", *options, "hello").stdout.startswith("job_")


def test_failed_or_cancelled_job_is_status_1(stack: Stack, asked: dict[str, str]) -> None:
    """Scripts can tell a good end from another."""
    with Client(stack.url, stack.key) as client:
        job = client.submit({"type": "generate", "model": "echo", "input": {"prompt": "word " * 500}})
        client.cancel(job["id"])
    watched = forebay("watch", job["id"], **asked)
    assert (watched.exit_code, "cancelled" in watched.stderr) == (1, True)


def test_cancel_ends_a_job_and_says_how_it_stands(stack: Stack, asked: dict[str, str]) -> None:
    """Again is the same; one that had ended stays as it is; one that isn't there is told."""
    with Client(stack.url, stack.key) as client:
        long = client.submit({"type": "generate", "model": "echo", "input": {"prompt": "word " * 500}})["id"]
        short = client.end(client.submit({"type": "generate", "model": "echo", "input": {"prompt": "one"}})["id"])["id"]
    assert [forebay("cancel", job_id, **asked).stdout for job_id in (long, long, short)] == [
        "cancelled\n",
        "cancelled\n",
        "succeeded\n",
    ]
    assert "no job job_x" in forebay("cancel", "job_x", **asked).stderr


def test_models_are_listed_with_their_workers(asked: dict[str, str]) -> None:
    """One line each; a star stands at those that serve who names none."""
    head, *lines = forebay("models", "list", **asked).stdout.splitlines()
    assert head.split() == ["name", "engine", "types", "context", "slots", "workers"]
    shown = [line.split() for line in lines]
    assert ["demo-chat", "*", "llamacpp", "generate,", "chat,", "moderate", "512", "4", "1"] in shown
    assert ["echo", "echo", "generate,", "chat", "4096", "4", "1"] in shown


def test_refusal_is_told_with_its_field(asked: dict[str, str]) -> None:
    """What the API says of a field reaches the person at the terminal."""
    refused = forebay("submit", "--param", "top_q=1", "hello", **asked)
    assert (refused.exit_code, "params.top_q" in refused.stderr) == (1, True)


@without_embedding_model
def test_file_is_ingested_found_and_asked_about(tmp_path: Path, asked: dict[str, str]) -> None:
    """From a file to an answer with its source; a file that can't be read is told beside it."""
    facts, damaged = tmp_path / "facts.html", tmp_path / "damaged.pdf"
    facts.write_text("<title>Facts</title><p>The boat costs 42 coins. Clara works as a nurse.")
    damaged.write_bytes(b"%PDF-1.7")
    brought = forebay("ingest", str(facts), str(damaged), "--collection", "boats", **asked)
    assert (brought.exit_code, brought.stdout.startswith("doc_")) == (1, True)
    assert "damaged.pdf: it can't be read as pdf" in brought.stderr
    again = forebay("ingest", str(facts), "--collection", "boats", **asked)
    assert (again.exit_code, again.stdout, "unchanged: 1" in again.stderr) == (0, "", True)
    facts.write_text("<title>Facts</title><p>The boat costs 42 coins. Clara works as a nurse in the harbour.")
    changed = forebay("ingest", str(facts), "--collection", "boats", **asked)
    assert (changed.exit_code, len(changed.stdout.splitlines())) == (0, 1)
    found = forebay("search", "Who helps the sick?", "--collection", "boats", **asked)
    assert found.stdout.startswith("[1] Facts, chunk 0")
    answered = forebay("ask", "How much does the boat cost?", "--collection", "boats", **asked)
    assert (answered.exit_code, "42" in answered.stdout, "[1] Facts" in answered.stderr) == (0, True, True)


@without_embedding_model
def test_chunks_know_what_they_stand_under(tmp_path: Path, asked: dict[str, str]) -> None:
    """Of two models of which the same is said the one that was asked for, and of a long table the row."""
    models = (("A200", "screws", 80), ("B900", "clips", 400))
    said = [
        f"# Model {name}\n\n" + f"It is held by {by}. " * 60 + f"\n\nThe maximum load is {load} kg."
        for name, by, load in models
    ]
    rows = [f"| BX-{number} | {17 + number % 80} | hall {number % 5} |" for number in range(1000, 1120)]
    (tmp_path / "models.md").write_text("\n\n".join(said))
    (tmp_path / "stock.md").write_text(
        "\n".join(["# Stock", "", "| Article | Price | Store |", "|---|---|---|", *rows])
    )
    assert forebay("ingest", str(tmp_path), "--collection", "known", **asked).exit_code == 0
    for query, there, others in (
        ("What is the maximum load of model B900?", "400 kg", "80 kg"),
        ("What is the maximum load of model A200?", "80 kg", "400 kg"),
        ("price of BX-1042", "BX-1042", ""),
    ):
        found = forebay("search", query, "--collection", "known", "--top-k", "1", **asked).stdout
        assert (there in found, bool(others) and others in found) == (True, False)


def test_request_has_what_was_asked_and_nothing_else() -> None:
    """Parameters are JSON where they can be, text where they can't; what isn't given isn't sent."""
    given: dict[str, Any] = {"type_": "chat", "model": None, "system": "Be brief.", "lane": None}
    assert submit.request("Hi", params=("temperature=0.5", "stop=end", "seed=3"), **given) == {
        "type": "chat",
        "params": {"temperature": 0.5, "stop": "end", "seed": 3},
        "input": {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]},
    }


@pytest.mark.parametrize(
    "options", [("--param", "temperature"), ("--type", "generate", "--system", "x")], ids=["no value", "no chat"]
)
def test_options_that_make_no_request_are_refused(options: tuple[str, ...]) -> None:
    """A mistake in the command is told before anything is asked."""
    assert forebay("submit", *options, "hello", FOREBAY_KEY="fb_x").exit_code == 2


def test_no_key_anywhere_is_told(tmp_path: Path) -> None:
    """Without a key the command says where it may come from."""
    with pytest.raises(click.UsageError, match="FOREBAY_KEY"):
        api.local_key(tmp_path)


def test_key_is_made_listed_and_revoked(postgres_url: str) -> None:
    """A key's text is shown once; listed are its id, tenant and end."""
    env = {"FOREBAY_DATABASE_URL": postgres_url, "FOREBAY_KEY_PEPPER": "pepper", "COLUMNS": "200"}
    key = forebay("keys", "create", "--tenant", "them", "--name", "a note", **env).stdout.strip()
    key_id, secret = key.split("_", 2)[1:]
    listed = forebay("keys", "list", **env).stdout
    assert all(shown in listed for shown in (key_id, "them", "a note"))
    assert secret not in listed
    assert forebay("keys", "revoke", key_id, **env).exit_code == 0
    assert forebay("keys", "revoke", "nothing", **env).exit_code == 1


def test_key_is_made_for_what_runs_from_a_data_folder(stack: Stack, tmp_path: Path) -> None:
    """Neither the database's URL nor the pepper has to be known; a folder of nobody's is refused."""
    key = forebay("keys", "create", "--tenant", "them", "--data", str(stack.data)).stdout.strip()
    with Client(stack.url, key) as client:
        assert client.models()
    assert key.split("_")[1] in forebay("keys", "list", "--data", str(stack.data), COLUMNS="200").stdout
    assert "--database-url" in forebay("keys", "list", "--data", str(tmp_path / "none")).stderr
