"""What `forebay summarize` brings, and what it writes; how it goes on is in `tests/flow/test_summaries.py`."""

from pathlib import Path

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
    sentences = [{"begins": 3, "ends": 9, "page": 2}, {"begins": None, "ends": None, "page": None}]
    assert summarize.page("Lamps", "A lamp. A boat.", sentences) == (
        "# Lamps\n\nA lamp. A boat.\n\n---\n\nWhere the sentences come from:\n\n1. page 2, characters 3 to 9\n"
    )
    assert summarize.page("Lamps", "A lamp.", []) == "# Lamps\n\nA lamp.\n"
