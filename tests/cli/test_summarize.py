"""What `forebay summarize` brings, and what it writes; how it goes on is in `tests/flow/test_summaries.py`."""

from pathlib import Path

import pytest

from cli.client import summarize


def test_files_of_folders_are_found_but_hidden_ones_and_the_summaries(tmp_path: Path) -> None:
    """Each under its path below what was named, in order."""
    for name in ("b.txt", "a/c.md", ".git/x.txt", "a/.d.txt", "out/b.txt.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    found = list(summarize.files([tmp_path, tmp_path / "b.txt"], tmp_path / "out"))
    assert [below for _, below in found] == [str(Path("a/c.md")), "b.txt", "b.txt"]


def test_requests_have_few_files_and_few_bytes(tmp_path: Path) -> None:
    """A file that is too large by itself goes alone: the API says what it thinks of it."""
    files = []
    for number in range(45):
        (tmp_path / f"{number}.txt").write_text("x")
        files.append((tmp_path / f"{number}.txt", f"{number}.txt"))
    large = tmp_path / "large.txt"
    with large.open("wb") as opened:
        opened.truncate(17 << 20)
    files.insert(5, (large, "large.txt"))
    found = list(summarize.lots(files))
    assert [file for lot in found for file in lot] == files
    assert [len(lot) for lot in found] == [5, 1, 20, 20]


def test_page_has_the_summary_and_where_it_is_from() -> None:
    """Sentences without a place are left out of that."""
    sentences = [
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
    errand = summarize.Errand(tmp_path, "job_x", {"doc_1": "a.txt", "doc_2": "b.txt"})
    whose = [["text", "model"], ["text", "text"]]
    for number, sentences in enumerate(whose, 1):
        told = [{"begins": 0, "ends": 9, "page": None, "by": by} for by in sentences]
        result = {"number": number, "document_id": f"doc_{number}", "title": None, "summary": "A.", "sentences": told}
        errand.write(result)
        errand = summarize.Errand.load(tmp_path)
    summarize.finish(errand, {"status": "succeeded", "summary": None, "counts": {"succeeded": 2}})  # type: ignore[typeddict-item]
    assert "3 of their 4 sentences stand in the files word for word" in capsys.readouterr().err
