"""A folder summarised from the command line, on the demo model and on one that takes its time; left, and resumed."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from cli.main import main
from tests.cli.terminal import INTERRUPT, Terminal, terminal
from tests.support.events import read
from tests.support.platform import Stack
from tests.workers import papers

STORY = "Anna left the lamp in the kitchen. Oscar looked for it in the cellar of house number {0}. " * 40


@pytest.fixture(scope="module")
def http(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url, headers=stack.headers, timeout=70) as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four files, one of them in a folder of its own and one damaged; and what nobody is to read."""
    files = tmp_path / "files"
    (files / "inner").mkdir(parents=True)
    (files / "story.txt").write_text(STORY.format(1))
    (files / "inner" / "page.html").write_text(f"<title>Lamps</title><p>{STORY.format(2)}</p>")
    (files / "paper.pdf").write_bytes(papers.pages(papers.shown("The owl lives in the tower.", "It is old.")))
    (files / "broken.pdf").write_bytes(b"%PDF-1.7 and nothing more")
    (files / ".hidden.txt").write_text("not for us")
    return files


def forebay(stack: Stack, *argv: str | Path) -> Result:
    options = ("--url", stack.url, "--key", stack.key)
    return CliRunner().invoke(main, [*map(str, argv), *options])


def note(out: Path) -> dict[str, object]:
    return dict(json.loads((out / ".forebay-summary.json").read_text()))


def test_folder_is_summarised_into_another(stack: Stack, http: httpx.Client, folder: Path, tmp_path: Path) -> None:
    """A file for each, and a named error; again with one file changed only that is asked of the model."""
    done = forebay(stack, "summarize", folder, "--out", tmp_path / "out", "--combine")
    assert done.exit_code == 1, done.output
    assert "broken.pdf: it can't be read as pdf" in done.output
    names = ("story.txt.md", "inner/page.html.md", "paper.pdf.md", "SUMMARY.md")
    assert all((tmp_path / "out" / name).read_text().strip() for name in names)
    assert not (tmp_path / "out" / ".hidden.txt.md").exists()
    assert "page 1, characters 0 to" in (tmp_path / "out" / "paper.pdf.md").read_text()
    (folder / "story.txt").write_text(STORY.format(3))
    again = forebay(stack, "summarize", folder, "--out", tmp_path / "again")
    assert again.exit_code == 1, again.output
    results = http.get(f"/v1/summaries/{note(tmp_path / 'again')['id']}/results").json()["data"]
    anew = {result["filename"]: result["usage"]["completion_tokens"] > 0 for result in results if result["summary"]}
    assert anew == {"story.txt": True, "page.html": False, "paper.pdf": False}


def test_results_are_told_as_they_come(http: httpx.Client) -> None:
    """On the events: the first while the others are still made; the last event has them all counted."""
    texts = [{"text": STORY.format(number), "title": f"Story {number}"} for number in range(6)]
    job = http.post("/v1/summaries", json={"texts": texts, "model": "echo", "words": 40}).json()
    with http.stream("GET", f"/v1/summaries/{job['id']}/events") as response:
        events = read(response.iter_lines())
        first = next(events)
        assert http.get(f"/v1/summaries/{job['id']}").json()["status"] == "running"
        rest = list(events)
    assert [event.type for event in [first, *rest]] == ["result"] * 6 + ["succeeded"]
    assert sorted(event.data["title"] for event in [first, *rest[:5]]) == [each["title"] for each in texts]
    assert rest[-1].data["counts"]["succeeded"] == 6
    watched = http.get(f"/v1/summaries/{job['id']}/events", headers={"Last-Event-ID": str(rest[-1].id)})
    assert watched.status_code == 204


def test_dry_run_counts_the_steps_that_are_taken(http: httpx.Client) -> None:
    """Of documents that one prompt holds, and of those that are cut into ever more parts."""
    steps = []
    texts = [{"text": STORY.format(number)[:size]} for number, size in enumerate((300, 900, 1500, 2200, 3000, 3600))]
    asked = {"texts": texts, "model": "demo-chat", "sentences": 2}
    for body in [{**asked, "texts": [text]} for text in texts] + [asked]:
        estimate = http.post("/v1/summaries", json={**body, "dry_run": True}).json()
        job = http.post("/v1/summaries", json=body).json()
        assert http.get(f"/v1/jobs/{job['id']}", params={"wait": 60}).json()["status"] == "succeeded"
        results = http.get(f"/v1/summaries/{job['id']}/results").json()["data"]
        taken = sum(result["steps"] for result in results)
        steps.append((sum(each["steps"] for each in estimate["steps"]), taken))
    assert [counted for counted, _ in steps] == [taken for _, taken in steps]


def interrupted(stack: Stack, folder: Path, out: Path) -> Iterator[Terminal]:
    """The command at a terminal, interrupted and asking."""
    argv = ("summarize", str(folder), "--out", str(out), "--model", "echo", "--words", "120")
    with terminal(*argv, "--url", stack.url, "--key", stack.key) as running:
        running.expect("summarising")
        running.insist(INTERRUPT, "[c/d]")
        yield running


def test_interrupt_detaches_and_what_comes_then_is_written_later(stack: Stack, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for running in interrupted(stack, folder, out):
        running.type("d\n")
        running.expect("--resume")
        assert running.status() == 130
    resumed = forebay(stack, "summarize", "--resume", "--out", out)
    assert resumed.exit_code == 1, resumed.output
    assert "broken.pdf" in resumed.output
    assert (out / "story.txt.md").read_text()
    watched = forebay(stack, "watch", str(note(out)["id"]))
    assert "story.txt\n" in watched.output


def test_interrupt_cancels_where_that_is_asked(stack: Stack, http: httpx.Client, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for running in interrupted(stack, folder, out):
        running.type("c\n")
        running.expect("is cancelled")
        assert running.status() == 130
    assert http.get(f"/v1/summaries/{note(out)['id']}").json()["status"] == "cancelled"


def test_nothing_to_resume_and_nothing_to_summarise_are_told(stack: Stack, tmp_path: Path) -> None:
    assert forebay(stack, "summarize", "--resume", "--out", tmp_path / "none").exit_code == 2
    (tmp_path / "odd.xyz").write_text("x")
    refused = forebay(stack, "summarize", tmp_path / "odd.xyz", "--out", tmp_path / "out")
    assert refused.exit_code == 1
    assert "must end in one of" in refused.output
