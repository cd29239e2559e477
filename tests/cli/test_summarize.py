"""What `forebay summarize` brings, and what it writes; how it goes on is in `tests/flow/test_summaries.py`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.client import summarize
from cli.main import main
from tests.cli.standin import StandIn, standing_in
from tests.cli.terminal import INTERRUPT, Terminal, terminal


@pytest.fixture
def api() -> Iterator[StandIn]:
    with standing_in() as server:
        yield server


def forebay(api: StandIn, *argv: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in argv], env={"FOREBAY_URL": api.url, "FOREBAY_KEY": "fb_x"})


def files(folder: Path, *names: str) -> Path:
    """A folder of these files, each of which says what it is called."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{folder.name}/{name}")
    return folder


def said(*texts: str) -> list[dict[str, Any]]:
    """Results of documents that say this."""
    return [
        {"number": number, "document_id": f"doc_{text}", "job_id": "job_1", "filename": "x", "title": None}
        | {
            "status": "succeeded",
            "summary": f"Of {text}.",
            "sentences": [],
            "error": None,
            "steps": 2,
            "cached_steps": 1,
        }
        for number, text in enumerate(texts, 1)
    ]


def test_summaries_stand_as_the_files_of_a_folder_do(api: StandIn, tmp_path: Path) -> None:
    """Without its name; hidden files, unknown kinds and the summaries themselves aren't brought."""
    notes = files(tmp_path / "notes", "b.txt", "a/c.md", ".git/x.txt", "a/.d.txt", "out/b.txt.md", "picture.xyz")
    api.ends, api.results = [("succeeded", None, None)], said("notes/b.txt", "notes/a/c.md")
    done = forebay(api, "summarize", notes, "--out", notes / "out", "--style", "brief")
    assert done.exit_code == 0, done.output
    assert api.asked == [{"documents": ["doc_notes/a/c.md", "doc_notes/b.txt"], "style": "brief"}]
    assert "Of notes/a/c.md." in (notes / "out" / "a" / "c.md.md").read_text()
    assert "Of notes/b.txt." in (notes / "out" / "b.txt.md").read_text()
    assert "of other kinds: 1" in done.stderr


def test_files_of_two_folders_that_are_called_alike_have_a_summary_each(api: StandIn, tmp_path: Path) -> None:
    """Below the folders' names; where those are equal too nothing is brought."""
    folders = [files(tmp_path / name, "README.md") for name in ("a", "b")]
    api.ends, api.results = [("succeeded", None, None)], said("a/README.md", "b/README.md")
    done = forebay(api, "summarize", *folders, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    for name in ("a", "b"):
        assert f"Of {name}/README.md." in (tmp_path / "out" / name / "README.md.md").read_text()
    again = forebay(api, "summarize", folders[0], files(tmp_path / "c" / "a", "README.md"), "--out", tmp_path / "two")
    assert again.exit_code == 2
    assert "would both be called a/README.md" in again.stderr
    assert len(api.asked) == 1


def test_bringing_goes_on_where_it_broke_off(api: StandIn, tmp_path: Path) -> None:
    """Of more files than one request takes each is brought once, also those of another lot that was refused."""
    names = [f"{number}.txt" for number in range(10, 55)]
    notes, out = files(tmp_path / "notes", *names), tmp_path / "out"
    api.busy = {"35.txt"}
    assert forebay(api, "summarize", notes, "--out", out, "--words", "40").exit_code == 1
    assert api.asked == []
    api.busy, api.ends = set(), [("succeeded", None, None)]
    api.results = said(*(f"notes/{name}" for name in names))
    resumed = forebay(api, "summarize", "--resume", "--out", out)
    assert resumed.exit_code == 0, resumed.output
    assert [name for form in api.brought for name in form] == names
    assert api.asked == [{"documents": [f"doc_notes/{name}" for name in names], "words": 40}]
    assert "Of notes/54.txt." in (out / "54.txt.md").read_text()


def test_page_has_the_summary_and_where_it_is_from() -> None:
    """Sentences without a place are left out of that."""
    sentences: list[dict[str, Any]] = [
        {"begins": 3, "ends": 9, "page": 2, "by": "model"},
        {"begins": None, "ends": None, "page": None, "by": "model"},
        {"begins": 10, "ends": 17, "page": None, "by": "text"},
    ]
    assert summarize.page("Lamps", "A lamp. A boat.", sentences) == (
        "# Lamps\n\nA lamp. A boat.\n\n---\n\nWhere the sentences come from:\n\n1. page 2, characters 3 to 9\n"
        "3. characters 10 to 17, word for word\n"
    )
    assert summarize.page("Lamps", "A lamp.", []) == "# Lamps\n\nA lamp.\n"


def test_sentences_that_stand_in_the_files_are_told_at_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the summary was resumed in between."""
    errand = summarize.Errand(tmp_path, {}, [], summary_id="job_x", files={"doc_1": "a.txt", "doc_2": "b.txt"})
    whose = [["text", "model"], ["text", "text"]]
    for number, sentences in enumerate(whose, 1):
        told = [{"begins": 0, "ends": 9, "page": None, "by": by} for by in sentences]
        result = {"number": number, "document_id": f"doc_{number}", "title": None, "summary": "A.", "sentences": told}
        errand.write({**result, "steps": 1, "cached_steps": 0})
        errand = summarize.Errand.load(tmp_path)
    summarize.finish(errand, {"status": "succeeded", "summary": None, "counts": {"succeeded": 2}})  # type: ignore[typeddict-item]
    assert "3 of their 4 sentences stand in the files word for word" in capsys.readouterr().err


def test_what_was_known_is_told(api: StandIn, tmp_path: Path) -> None:
    """And one file is a file."""
    api.ends, api.results = [("succeeded", None, None)], said("notes/a.txt")
    done = forebay(api, "summarize", files(tmp_path / "notes", "a.txt"), "--out", tmp_path / "out")
    assert "1 of their 2 steps were known from before" in done.stderr
    assert "job_0: 1 file\n" in done.stderr
    assert f"1 summary in {tmp_path / 'out'}, 0 files without one" in done.stderr


def test_files_that_are_there_unchanged_are_not_brought_again(api: StandIn, tmp_path: Path) -> None:
    """Only what was changed, is new, or is gone from the server; the summary is asked of all."""
    notes, out = files(tmp_path / "notes", "a.txt", "b.txt", "c.txt"), tmp_path / "out"
    api.ends, api.results = [("succeeded", None, None)] * 3, said("notes/a.txt", "notes/b.txt", "notes/c.txt")
    assert forebay(api, "summarize", notes, "--out", out).exit_code == 0
    (notes / "b.txt").write_text("notes/changed")
    api.kept.remove("doc_notes/c.txt")
    for changed in (["b.txt", "c.txt", "d.txt"], []):
        files(notes, "d.txt")
        api.brought.clear()
        done = forebay(api, "summarize", notes, "--out", out)
        assert f"unchanged: {4 - len(changed)}, to bring: {len(changed)}\n" in done.stderr
        assert [name for form in api.brought for name in form] == changed
        named = ("a.txt", "changed", "c.txt", "d.txt")
        assert sorted(api.asked.pop()["documents"]) == sorted(f"doc_notes/{name}" for name in named)


def test_resumed_it_still_knows_what_was_there(api: StandIn, tmp_path: Path) -> None:
    """Bringing the one new file broke off."""
    notes, out = files(tmp_path / "notes", "a.txt"), tmp_path / "out"
    api.ends, api.results = [("succeeded", None, None)] * 2, said("notes/a.txt")
    assert forebay(api, "summarize", notes, "--out", out).exit_code == 0
    (notes / "b.txt").write_text("notes/b.txt")
    api.busy = {"b.txt"}
    assert forebay(api, "summarize", notes, "--out", out).exit_code == 1
    api.busy, api.results = set(), said("notes/a.txt", "notes/b.txt")
    resumed = forebay(api, "summarize", "--resume", "--out", out)
    assert resumed.exit_code == 0, resumed.output
    assert sorted(api.asked[-1]["documents"]) == ["doc_notes/a.txt", "doc_notes/b.txt"]


def test_resumed_after_a_cancel_it_says_so(api: StandIn, tmp_path: Path) -> None:
    """How many files have no summary, and how to begin again."""
    api.ends, api.results = [("cancelled", None, None)], said("notes/a.txt")
    out = tmp_path / "out"
    for argv in ((files(tmp_path / "notes", "a.txt", "b.txt", "c.txt"),), ("--resume",)):
        done = forebay(api, "summarize", *argv, "--out", out)
        assert done.exit_code == 1
        assert f"1 summary in {out}, 2 files without one" in done.stderr
        assert f"job_0 was cancelled. `forebay summarize PATH… --out {out}` begins again" in done.stderr


def test_files_whose_documents_are_gone_are_counted_and_told_each(api: StandIn, tmp_path: Path) -> None:
    """Others may have called them alike."""
    gone = {"document_id": None, "status": "failed", "summary": None, "error": {"code": "x", "message": "it is gone"}}
    api.ends = [("succeeded", None, None)]
    api.results = [result | gone | {"job_id": f"job_{result['number']}"} for result in said("a.txt", "b.txt")]
    done = forebay(api, "summarize", files(tmp_path / "notes", "a.txt", "b.txt"), "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert f"0 summaries in {tmp_path / 'out'}, 2 files without one" in done.stderr
    assert "x job_1: it is gone" in done.stderr
    assert "x job_2: it is gone" in done.stderr


def bringing(api: StandIn, tmp_path: Path) -> Iterator[Terminal]:
    """The command at a terminal, interrupted while it brings, with one lot there: asking."""
    notes = files(tmp_path / "notes", *(f"{number}.txt" for number in range(10, 40)))
    api.slow = {"39.txt"}
    argv = ("summarize", str(notes), "--out", str(tmp_path / "out"))
    with terminal(*argv, FOREBAY_URL=api.url, FOREBAY_KEY="fb_x") as running:
        running.expect("66%")
        running.insist(INTERRUPT, "[c/d]")
        yield running


def test_interrupted_while_it_brings_it_asks_too(api: StandIn, tmp_path: Path) -> None:
    """A second Ctrl-C is an answer: what was brought stays."""
    for running in bringing(api, tmp_path):
        running.insist(INTERRUPT, "20 files brought;")
        running.expect("--resume")
        assert running.status() == 130
    assert api.deleted == []
    assert len(summarize.Errand.load(tmp_path / "out").files) == 20


def test_what_was_brought_is_given_up_where_that_is_asked(api: StandIn, tmp_path: Path) -> None:
    for running in bringing(api, tmp_path):
        running.type("c\n")
        running.expect("what was brought is deleted")
        assert running.status() == 130
    assert len(api.deleted) == 20
    assert forebay(api, "summarize", "--resume", "--out", tmp_path / "out").exit_code == 2


def test_interrupted_watch_says_that_the_job_goes_on(api: StandIn) -> None:
    api.ends, api.held = [("succeeded", None, None)], True
    with terminal("watch", "job_0", FOREBAY_URL=api.url, FOREBAY_KEY="fb_x") as running:
        api.asking.wait()
        running.type(INTERRUPT)
        running.expect("job_0 goes on")
        assert running.status() == 130


def test_copy_is_told_by_the_name_of_the_first(api: StandIn, tmp_path: Path) -> None:
    """Of the same job, or brought before."""
    copies = [("a.txt", None), ("b.txt", "doc_a.txt"), ("c.txt", "doc_old")]
    documents = [
        {"id": f"doc_{name}", "external_id": name, "filename": name, "status": "ready"}
        | ({"duplicate_of": first} if first else {})
        for name, first in copies
    ]
    api.ends = [("succeeded", {"documents": documents}, None)]
    done = forebay(api, "ingest", *(files(tmp_path, name) / name for name, _ in copies))
    assert done.exit_code == 0, done.output
    assert "b.txt: has the contents of a.txt\n" in done.stderr
    assert "c.txt: has the contents of file of old\n" in done.stderr
