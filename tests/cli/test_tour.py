"""`forebay demo`: each stop of the tour against a stand-in of the API, and the whole tour for real."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli.client.client import Client, Job
from cli.launcher import leftovers
from cli.launcher.datafolder import DataFolder
from cli.launcher.tour import answers, documents, killing
from cli.launcher.tour.page import Page
from tests.cli.standin import PASSAGE, StandIn, standing_in
from tests.support import catalogs
from tests.support.platform import ROOT, free_port

EMBEDDER = {"id": "demo-embed", "types": ["embed"], "workers": 1}
BROUGHT = ("succeeded", {"collection": "facts", "documents": [], "chunks": 3}, None)
ANSWER = ("succeeded", {"text": "19", "finish_reason": "stop", "passages": [PASSAGE]}, None)
BROKEN = ("failed", None, {"code": "x", "message": "broken"})
STORY = "One warm morning Oscar walked to the stable."
TOLD = ("succeeded", {"message": {"role": "assistant", "content": STORY}, "finish_reason": "stop"}, None)


@pytest.fixture
def api() -> Iterator[StandIn]:
    with standing_in() as server:
        yield server


@pytest.fixture
def printed() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def page(printed: io.StringIO) -> Page:
    return Page(Console(file=printed, highlight=False, width=200))


@pytest.fixture
def worker(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that the data folder's note calls the worker of `demo-chat`."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        leftovers.write(DataFolder(tmp_path).record, [("worker-demo-chat", process.pid, signal.SIGTERM)])
        yield process
        process.kill()


def shown(api: StandIn, show: Callable[[Client], list[Job]]) -> list[str]:
    """How the jobs of one stop ended."""
    with Client(api.url, "fb_x") as client:
        return [job["status"] for job in show(client)]


def interrupted(*pieces: str) -> list[tuple[str, Any]]:
    """The events of a job whose first attempt told the first piece, and whose second the others."""
    deltas = [("delta", {"text": piece}) for piece in pieces]
    started, resumed = ("started", {"attempt": 1, "worker": "one"}), ("resumed", {"attempt": 2})
    return [started, deltas[0], resumed, *deltas[1:]]


SECOND = {"attempt": 2, "attempts": [{"number": 1, "how": "lost"}, {"number": 2, "how": "succeeded"}]}


@pytest.mark.parametrize("size", [1, 3, 8, 1000])
def test_words_are_broken_between_words_in_whatever_pieces_they_come(
    page: Page, printed: io.StringIO, size: int
) -> None:
    """Within 80 columns, nothing added or lost, line breaks kept."""
    text = "Anna walked to the tunnel. " * 9 + "\nThe lizard followed\n\nthem home"
    words = page.words()
    for start in range(0, len(text), size):
        words.write(text[start : start + size])
    words.end()
    lines = printed.getvalue().split("\n")
    assert max(map(len, lines)) <= 80
    assert printed.getvalue().split() == text.split()
    assert lines[-4:] == ["  The lizard followed", "", "  them home", ""]


def test_question_and_story_are_what_the_demo_model_can_answer() -> None:
    """The fact sheet holds the answer, and the prompts fit the smallest model."""
    [message] = answers.question()["input"]["messages"]
    assert "harbour is 19" in message["content"]
    assert all(len(str(request)) < 600 for request in (answers.question(), answers.story("Anna")))


def test_job_is_one_line(api: StandIn, page: Page, printed: io.StringIO) -> None:
    """Its id, model, wait and tokens per second; its error where it failed."""
    api.events, api.ends = [("delta", {"text": "The code "}), ("delta", {"text": "is 19."})], [TOLD, BROKEN]
    assert shown(api, lambda client: answers.show_two(page, client)) == ["succeeded", "failed"]
    lines = [line.strip() for line in printed.getvalue().splitlines()]
    assert "The code is 19." in lines
    assert "job_0  demo-chat  waited 0.3 s  24 tokens/s" in lines
    assert "job_1 failed: broken" in lines


def test_many_jobs_are_listed_in_the_order_of_their_starts(api: StandIn, page: Page, printed: io.StringIO) -> None:
    """Twelve stories of the batch lane, and the question that was asked last and started third."""
    starts = [*range(1, 13), 2.5]
    api.ends = [TOLD] * 13
    api.records = [
        {"started_at": f"2026-11-26T17:21:{20 + at:06.3f}Z", "finished_at": f"2026-11-26T17:21:{21 + at:06.3f}Z"}
        for at in starts
    ]
    assert shown(api, lambda client: answers.show_many(page, client)) == ["succeeded"] * 13
    rows = [line.split()[0] for line in printed.getvalue().splitlines() if line.strip().startswith("job_")]
    assert rows == ["job_0", "job_1", "job_12", *(f"job_{number}" for number in range(2, 12))]
    assert "started as number 3" in printed.getvalue()
    assert [asked.get("lane") for asked in api.asked] == ["batch"] * 12 + [None]


def test_many_jobs_of_which_one_failed_tell_of_it(api: StandIn, page: Page, printed: io.StringIO) -> None:
    """Figures of a job that never ran would be made up."""
    api.ends = [BROKEN, *[TOLD] * 12]
    assert shown(api, lambda client: answers.show_many(page, client)).count("failed") == 1
    assert "job_0 failed: broken" in printed.getvalue()


def test_worker_is_killed_in_mid_story_and_the_story_goes_on(
    api: StandIn, page: Page, printed: io.StringIO, tmp_path: Path, worker: "subprocess.Popen[bytes]"
) -> None:
    """The process that the note names gets SIGKILL; what became of both attempts is told."""
    api.events, api.ends, api.records = (
        interrupted("One warm morning Oscar walked", " to the stable."),
        [TOLD],
        [SECOND],
    )
    assert shown(api, lambda client: killing.show(page, client, DataFolder(tmp_path))) == ["succeeded"]
    assert worker.wait() == -signal.SIGKILL
    told = " ".join(printed.getvalue().split())
    assert f"kill -9 {worker.pid}" in told
    assert "attempt 1 lost, attempt 2 succeeded. Events 1 to 5 came once each" in told


def test_story_that_is_over_before_the_kill_is_followed_by_another(
    api: StandIn, page: Page, tmp_path: Path, worker: "subprocess.Popen[bytes]"
) -> None:
    """A few times, and then the tour goes on."""
    api.events, api.ends = [("delta", {"text": STORY})], [TOLD] * 9
    tries = shown(api, lambda client: killing.show(page, client, DataFolder(tmp_path)))
    assert tries == ["succeeded"] * len(killing.TRIES)


def test_story_that_lost_a_word_is_told_as_such(
    api: StandIn, page: Page, printed: io.StringIO, tmp_path: Path, worker: "subprocess.Popen[bytes]"
) -> None:
    """The tour says what it saw, not what should be."""
    api.events, api.ends, api.records = interrupted("One warm morning Oscar walked", " the stable."), [TOLD], [SECOND]
    shown(api, lambda client: killing.show(page, client, DataFolder(tmp_path)))
    assert "What was read is not what was kept" in " ".join(printed.getvalue().split())


def test_process_that_only_has_the_workers_id_is_not_killed(tmp_path: Path) -> None:
    """Ids are used again: the note's process must have been created when the note says."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as other:
        record = DataFolder(tmp_path).record
        leftovers.write(record, [("worker-demo-chat", other.pid, signal.SIGTERM)])
        record.write_text(record.read_text().replace('"created": ', '"created": 9'))
        assert killing.kill_worker(DataFolder(tmp_path), "demo-chat") is None
        assert other.poll() is None
        other.kill()


def test_documents_are_brought_searched_and_asked(api: StandIn, page: Page, printed: io.StringIO) -> None:
    """Two collections, a search in each, two questions, all with the passages they came from."""
    api.models, api.found, api.events = [EMBEDDER], [PASSAGE], [("delta", {"text": "The code is 19."})]
    api.ends = [*[BROUGHT] * 3, ANSWER, ANSWER]
    assert shown(api, lambda client: documents.show(page, client)) == ["succeeded"] * 5
    files = {"fact_sheet.txt": b"facts", "README.md": b"handbook", "operating.md": b"handbook"}
    assert {name: form["collection"] for form in api.brought for name in form.keys() & files.keys()} == files
    assert [asked["collection"] for asked in api.asked if "query" in asked] == ["facts", "handbook"]
    told = printed.getvalue()
    assert (told.count("The code is 19."), told.count("[1] facts.txt, page 3, Boats > Prices, chunk 2")) == (2, 4)
    assert max(map(len, told.splitlines())) <= 80


def test_documents_are_brought_only_once(api: StandIn, page: Page) -> None:
    """Started again on the same folder, the tour finds what it brought before."""
    api.models, api.collections, api.ends = [EMBEDDER], {"facts", "handbook"}, [ANSWER, ANSWER]
    assert (shown(api, lambda client: documents.show(page, client)), api.brought) == (["succeeded"] * 2, [])


@pytest.mark.parametrize("models", [[], [EMBEDDER | {"workers": 0}]], ids=["none in the catalogue", "not made"])
def test_without_an_embedding_model_documents_are_left_out(
    api: StandIn, page: Page, printed: io.StringIO, models: list[dict[str, Any]]
) -> None:
    """And it is said what is missing."""
    api.models = models
    assert shown(api, lambda client: documents.show(page, client)) == []
    assert "make embedding" in printed.getvalue()


def test_documents_end_where_one_can_not_be_brought(api: StandIn, page: Page, printed: io.StringIO) -> None:
    """The job that failed is told and counted."""
    api.models, api.ends = [EMBEDDER], [BROUGHT, BROKEN, BROUGHT]
    assert shown(api, lambda client: documents.show(page, client)) == ["succeeded", "failed", "succeeded"]
    assert "broken" in printed.getvalue()


def test_tour_goes_through_and_stops_everything(tmp_path: Path) -> None:
    """For real, with the chat model alone: a worker is killed in mid-answer and the answer goes on; status 0."""
    catalog, data = tmp_path / "catalog.toml", tmp_path / "data"
    catalog.write_text(catalogs.demo(default=True))
    ports = ["--port", str(free_port()), "--flower-port", str(free_port())]
    env = {name: value for name, value in os.environ.items() if not name.startswith("FOREBAY_")}
    done = subprocess.run(
        [sys.executable, "-m", "cli", "demo", "--data", str(data), *ports],
        cwd=ROOT,
        env={**env, "FOREBAY_CATALOG": str(catalog), "DEMO_EXIT": "1"},
        capture_output=True,
        text=True,
    )
    told = " ".join(done.stdout.split())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The code of the harbour is 19." in told
    assert "attempt 1 lost, attempt 2 succeeded." in told
    assert "no word was lost" in told
    assert max(len(line) for line in done.stdout.splitlines() if str(data) not in line) <= 80
    assert "\x1b" not in done.stdout
    assert leftovers.running(DataFolder(data).record) == {}
