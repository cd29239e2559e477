"""The commands about documents, against a stand-in of the API: `ingest`, `search` and `ask`."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from tests.cli.standin import PASSAGE, StandIn, standing_in


@pytest.fixture
def api() -> Iterator[StandIn]:
    with standing_in() as server:
        yield server


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two files to be ingested."""
    paths = [tmp_path / "facts.txt", tmp_path / "boat.md"]
    for path in paths:
        path.write_text(f"This is {path.name}.")
    return paths


def forebay(api: StandIn, *argv: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in argv], env={"FOREBAY_URL": api.url, "FOREBAY_KEY": "fb_x"})


def ready(*names: str, warnings: tuple[str, ...] = (), **others: str) -> tuple[str, Any, Any]:
    """The end of a job that ingested documents of these external ids; `others` failed by the reason."""
    told = {"status": "ready", "chunks": 3} | ({"warnings": list(warnings)} if warnings else {})
    documents: list[dict[str, Any]] = [
        {"id": f"doc_{name}", "filename": Path(name).name, "external_id": name, **told} for name in names
    ]
    documents += [
        {"id": "doc_x", "external_id": name.replace("_", "."), "status": "failed", "error": {"message": why}}
        for name, why in others.items()
    ]
    return "succeeded", {"collection": "default", "documents": documents, "chunks": 3 * len(names)}, None


def known(contents: str, **changes: Any) -> dict[str, Any]:
    """A document that is there."""
    digest = hashlib.sha256(contents.encode()).hexdigest()
    told = {"status": "ready", "digest": digest, "external_id": "x", "error": None, "warnings": []}
    return told | {"links": {"job": "/v1/jobs/job_0"}} | changes


def test_ingest_brings_files_together_and_waits_for_them(api: StandIn, files: list[Path]) -> None:
    """Several in a request, each called by its name; the documents' ids are what scripts get."""
    api.ends = [ready("boat.md", "facts.txt")]
    facts = ["--metadata", "year=2026", "--metadata", "by=Clara", "--language", "de", "--charset", "cp1252"]
    done = forebay(api, "ingest", *files, "--collection", "boats", *facts)
    assert (done.exit_code, done.stdout) == (0, "doc_boat.md\ndoc_facts.txt\n")
    assert "ready: 2, unchanged: 0, failed: 0" in done.stderr
    assert api.brought == [
        {
            "collection": b"boats",
            "language": b"de",
            "charset": b"cp1252",
            "metadata": json.dumps({"year": 2026, "by": "Clara"}).encode(),
            "external_ids": b'["boat.md", "facts.txt"]',
            "facts.txt": b"This is facts.txt.",
            "boat.md": b"This is boat.md.",
        }
    ]


def test_ingest_tells_of_files_that_can_not_be_read_at_the_end(api: StandIn, files: list[Path]) -> None:
    """By their names, with the reason; the others are ingested all the same, and the status says not all was well."""
    api.ends = [ready("boat.md", facts_txt="it holds no text")]
    done = forebay(api, "ingest", *files)
    assert (done.exit_code, done.stdout) == (1, "doc_boat.md\n")
    assert done.stderr.endswith("facts.txt: it holds no text\nready: 1, unchanged: 0, failed: 1\n")


def test_ingest_of_a_job_without_result_asks_why_for_each_file(api: StandIn, files: list[Path]) -> None:
    """A job fails with the reason of its first document."""
    api.ends = [("failed", None, {"code": "unreadable_document", "message": "it holds no text"})]
    api.there = {"facts.txt": known("", status="failed", error={"code": "x", "message": "it is broken"})}
    done = forebay(api, "ingest", *files)
    assert done.exit_code == 1
    assert "boat.md: it holds no text\nfacts.txt: it is broken\n" in done.stderr


def test_ingest_tells_of_a_file_that_is_refused(api: StandIn, files: list[Path]) -> None:
    """What the API doesn't take doesn't stop the others, which are brought without it."""
    api.refused, api.ends = {"facts.txt"}, [ready("boat.md")]
    done = forebay(api, "ingest", *files)
    assert (done.exit_code, done.stdout) == (1, "doc_boat.md\n")
    assert "facts.txt: file: must end in" in done.stderr
    assert [list(form)[2:] for form in api.brought] == [["boat.md"]]


def test_ingest_ends_where_what_is_said_of_all_files_is_refused(api: StandIn, files: list[Path]) -> None:
    """Once, whatever their number."""
    api.param, api.refused = "language", {"boat.md"}
    done = forebay(api, "ingest", *files, "--language", "klingon")
    assert (done.exit_code, done.stderr.count("language: must")) == (1, 1)


def test_ingest_leaves_out_what_is_there_unchanged(api: StandIn, files: list[Path]) -> None:
    """What has changed, or failed before, is brought; what is on its way is waited for."""
    more = [files[0].with_name(name) for name in ("failed.txt", "coming.txt")]
    for path in more:
        path.write_text(path.name)
    api.there = {
        "facts.txt": known("This is facts.txt."),
        "boat.md": known("This was boat.md."),
        "failed.txt": known("failed.txt", status="failed"),
        "coming.txt": known("coming.txt", status="pending", links={"job": "/v1/jobs/job_1"}),
    }
    api.ends = [ready("boat.md", "failed.txt"), ready("coming.txt")]
    done = forebay(api, "ingest", *files, *more)
    assert done.exit_code == 0
    assert done.stdout.splitlines() == ["doc_coming.txt", "doc_boat.md", "doc_failed.txt"]
    assert "ready: 3, unchanged: 1, failed: 0" in done.stderr
    assert [form["external_ids"] for form in api.brought] == [b'["boat.md", "failed.txt"]']


def test_ingest_counts_each_file_once(api: StandIn, files: list[Path]) -> None:
    """A job that still runs has made some ready, which are unchanged then; it has others that nobody asks about."""
    running = {"links": {"job": "/v1/jobs/job_0"}}
    api.there = {
        "facts.txt": known("This is facts.txt.", **running),
        "boat.md": known("This is boat.md.", status="pending", **running),
    }
    api.ends = [ready("boat.md", "facts.txt", "another.txt", no_txt="it holds no text")]
    done = forebay(api, "ingest", *files)
    assert (done.exit_code, done.stdout) == (0, "doc_boat.md\n")
    assert done.stderr.endswith("ready: 1, unchanged: 1, failed: 0\n")


def test_ingest_counts_the_documents_of_an_archive(api: StandIn, tmp_path: Path) -> None:
    """By their names in it."""
    (tmp_path / "box.zip").write_bytes(b"PK")
    api.ends = [ready("box.zip/notes/a.md", "box.zip/b.md")]
    done = forebay(api, "ingest", tmp_path / "box.zip")
    assert done.stdout.splitlines() == ["doc_box.zip/notes/a.md", "doc_box.zip/b.md"]
    assert done.stderr.endswith("ready: 2, unchanged: 0, failed: 0\n")


def test_ingest_tells_the_warnings_of_each_file_at_the_end(api: StandIn, files: list[Path]) -> None:
    """Of those that are there unchanged too: what is wrong with them still is."""
    api.there = {"facts.txt": known("This is facts.txt.", external_id="facts.txt", warnings=["Page 2 is an image."])}
    api.ends = [ready("boat.md", warnings=("The charset is a guess.", "It is long."))]
    done = forebay(api, "ingest", *files)
    assert done.exit_code == 0
    assert done.stderr.endswith(
        "boat.md: The charset is a guess.\nboat.md: It is long.\nfacts.txt: Page 2 is an image.\n"
        "ready: 1, unchanged: 1, failed: 0\n"
    )


@pytest.mark.parametrize(
    ("contents", "others", "brought"),
    [
        ("box", [], False),
        ("box", [{"status": "failed", "error": {"code": "unreadable_document", "message": "no"}}], False),
        ("box", [{"status": "failed", "error": {"code": "cancelled", "message": "no"}}], True),
        ("bag", [], True),
    ],
    ids=["unchanged", "a member can't be read", "cancelled in the middle", "changed"],
)
def test_ingest_knows_an_archive_by_what_came_in_it(
    api: StandIn, tmp_path: Path, contents: str, others: list[dict[str, Any]], brought: bool
) -> None:
    """Its members are documents, and the archive itself is none."""
    (tmp_path / "box.zip").write_text("box")
    archive = {"name": "box.zip", "digest": known(contents)["digest"]}
    api.members = {"box.zip": [known("a", archive=archive) | one for one in [*others, {}]]}
    api.ends = [ready("box.zip/a")]
    done = forebay(api, "ingest", tmp_path / "box.zip")
    assert done.exit_code == 0, done.stderr
    assert f"ready: {int(brought)}, unchanged: {int(not brought)}, failed: 0" in done.stderr
    assert len(api.brought) == brought


def test_ingest_takes_folders_whole(api: StandIn, tmp_path: Path) -> None:
    """Their files of known kinds, however deep, by their paths from the folder; what is left out is named."""
    folder = tmp_path / "notes"
    for name in ("b/deep/c.MD", "a.txt", ".hidden.txt", ".git/d.txt", "e.exe", "empty.txt"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("" if name == "empty.txt" else name)
    (tmp_path / "outside.txt").write_text("secret")
    (folder / "out.txt").symlink_to(tmp_path / "outside.txt")
    (folder / "again.txt").symlink_to(folder / "a.txt")
    (folder / "loop").symlink_to(folder)
    api.ends = [ready()]
    done = forebay(api, "ingest", folder)
    [form] = api.brought
    assert json.loads(form["external_ids"]) == ["notes/a.txt", "notes/again.txt", "notes/b/deep/c.MD"]
    assert form["c.MD"] == b"b/deep/c.MD"
    lines = [line.removeprefix("left out, ") for line in done.stderr.splitlines() if line.startswith("left out")]
    assert lines == [
        "empty: 1 (empty.txt)",
        "hidden: 2 (.git/d.txt, .hidden.txt)",
        "linked folders: 1 (loop)",
        "links out of the folder: 1 (out.txt)",
        "of other kinds: 1 (e.exe)",
    ]


def test_ingest_splits_large_folders_into_requests(api: StandIn, tmp_path: Path) -> None:
    for number in range(45):
        (tmp_path / f"{number:02}.txt").write_text(f"{number}")
    api.ends = [ready()] * 3
    assert forebay(api, "ingest", tmp_path).exit_code == 0
    assert [len(json.loads(form["external_ids"])) for form in api.brought] == [20, 20, 5]


def test_ingest_refuses_two_files_that_would_be_called_alike(api: StandIn, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.txt").write_text(folder)
    done = forebay(api, "ingest", tmp_path / "a" / "x.txt", tmp_path / "b" / "x.txt")
    assert (done.exit_code, api.brought) == (2, [])
    assert "would both be called x.txt" in done.stderr


@pytest.mark.parametrize(
    "options", [["nothing.txt"], [], ["{file}", "--metadata", "year"]], ids=["file", "none", "pair"]
)
def test_ingest_refuses_what_is_no_file_or_pair(api: StandIn, files: list[Path], options: list[str]) -> None:
    """A mistake in the command is told before anything is sent."""
    assert forebay(api, "ingest", *[option.format(file=files[0]) for option in options]).exit_code == 2
    assert api.brought == []


def test_search_prints_passages_and_where_they_stand(api: StandIn) -> None:
    """Its number, its document, how near it is, and all its lines."""
    api.found = [PASSAGE, PASSAGE | {"title": None, "score": -0.5, "page": None, "path": []}]
    found = forebay(api, "search", "How much is the boat?", "--collection", "boats", "--top-k", "2")
    assert (found.exit_code, found.stdout) == (
        0,
        "[1] facts.txt, page 3, Boats > Prices, chunk 2, score 0.83\n    The boat\n    costs 42 coins.\n"
        "[2] boats.pdf, chunk 2, score -0.50\n    The boat\n    costs 42 coins.\n",
    )
    assert api.asked == [{"query": "How much is the boat?", "collection": "boats", "top_k": 2}]


def test_search_that_finds_nothing_says_so(api: StandIn) -> None:
    """Nothing on stdout, a word on stderr, and no error; without an option the API's default holds."""
    found = forebay(api, "search", "boat")
    assert (found.exit_code, found.stdout, found.stderr) == (0, "", "nothing found\n")
    assert api.asked == [{"query": "boat", "collection": "default"}]


def answer(text: str, *supported: bool, **told: Any) -> tuple[str, Any, Any]:
    """The end of a question's job: whether each sentence of the answer, each as long, rests on the passage."""
    length = len(text) // max(1, len(supported))
    citations = [
        {
            "begins": place * length,
            "ends": (place + 1) * length,
            "passages": [{"passage": 1, **PASSAGE}] * rests,
            **told,
        }
        for place, rests in enumerate(supported)
    ]
    return "succeeded", {"text": text, "answered": True, "passages": [PASSAGE], "citations": citations}, None


SOURCE = "[1] facts.txt, page 3, Boats > Prices, chunk 2\n"


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (answer("42 coins.", True), SOURCE),
        (answer("42 coins. 43 coins.", True, False), f"“42 coins.”: [1]\n“43 coins”: no passage says so\n{SOURCE}"),
        (answer("42 coins.", True, quote_found=False), f"“42 coins.”: what it quotes stands nowhere so\n{SOURCE}"),
        (answer("I don't know."), ""),
    ],
    ids=["one sentence", "unsupported", "quote", "nothing"],
)
def test_ask_prints_the_answer_and_then_what_it_rests_on(api: StandIn, end: Any, told: str) -> None:
    """The answer alone is on stdout; where it rests on nothing, that is said."""
    api.events, api.ends = [("passages", {"passages": [PASSAGE]}), ("delta", {"text": "42 "})], [end]
    options = ["--collection", "boats", "--top-k", "3", "--threshold", "0.4", "--filter", "year=2026"]
    answered = forebay(api, "ask", "How much is the boat?", *options)
    assert (answered.exit_code, answered.stdout, answered.stderr) == (0, "42 \n", told)
    asked = {"question": "How much is the boat?", "collection": "boats", "top_k": 3, "threshold": 0.4}
    assert api.asked == [{"type": "rag", "input": asked | {"filter": {"year": 2026}}}]


TINY = "demo-chat is tiny"


def unknown(*passages: dict[str, Any]) -> tuple[str, Any, Any]:
    """The end of a question's job whose answer is that it isn't known."""
    told = {"text": "The context does not say.", "answered": False, "citations": []}
    return "succeeded", told | {"passages": list(passages)}, None


def test_ask_without_an_answer_tells_where_it_has_looked(api: StandIn) -> None:
    """So it shows whether the search or the model failed."""
    api.ends, api.records = [unknown(PASSAGE, PASSAGE | {"title": None, "score": 0.3, "page": None})], [{"model": "m"}]
    answered = forebay(api, "ask", "How much?")
    assert (answered.exit_code, answered.stderr) == (
        0,
        "looked in: [1] facts.txt, page 3, Boats > Prices, chunk 2, score 0.83\n"
        "looked in: [2] boats.pdf, Boats > Prices, chunk 2, score 0.30\n",
    )


def test_ask_that_found_nothing_to_read_says_so(api: StandIn) -> None:
    api.ends, api.records = [unknown()], [{"model": "m"}]
    answered = forebay(api, "ask", "How much?")
    assert answered.stderr == "no passage has a score high enough to be read; --threshold sets how high\n"


def test_ask_tells_once_that_the_demo_model_is_tiny(api: StandIn) -> None:
    """Where it doesn't know; when it does, nothing needs to be said."""
    api.ends = [answer("42 coins.", True), unknown(), unknown()]
    env = {"FOREBAY_URL": api.url, "FOREBAY_KEY": "fb_x"}
    done = CliRunner().invoke(main, ["ask", "How much?", "--follow"], input="And two?\nAnd three?\n", env=env)
    assert (done.exit_code, done.stderr.count(TINY)) == (0, 1)
    assert done.stderr.index(TINY) > done.stderr.index("no passage has a score")


def test_ask_of_questions_that_come_by_a_pipe_prints_no_prompt(api: StandIn) -> None:
    """The answers alone are on stdout, whether or not the last line is ended."""
    api.events, api.ends = [("delta", {"text": "42"})], [answer("42", True)] * 3
    env = {"FOREBAY_URL": api.url, "FOREBAY_KEY": "fb_x"}
    done = CliRunner().invoke(main, ["ask", "How much?", "--follow"], input="And two?\n\nAnd three?", env=env)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "42\n" * 3, SOURCE * 3)


def test_ask_goes_on_with_what_was_said(api: StandIn) -> None:
    """Each question at the prompt has the conversation before it; what fails doesn't end it and isn't kept."""
    failure = ("failed", None, {"code": "engine_error", "message": "it is gone"})
    api.ends = [answer("42 coins."), failure, answer("43 coins."), answer("44 coins.")]
    typed = "And the yacht?\nAnd the canoe?\n/clear\nAnd the ship?\n/bye\n"
    env = {"FOREBAY_URL": api.url, "FOREBAY_KEY": "fb_x"}
    done = CliRunner().invoke(main, ["ask", "How much is the boat?", "--follow"], input=typed, env=env)
    assert done.exit_code == 0
    assert "it is gone" in done.stderr
    first = [
        {"role": "user", "content": "How much is the boat?"},
        {"role": "assistant", "content": "42 coins."},
    ]
    assert [each["input"]["question"] for each in api.asked][1:] == [
        "And the yacht?",
        "And the canoe?",
        "And the ship?",
    ]
    assert [each["input"].get("messages") for each in api.asked] == [None, first, first, None]


def test_ask_that_fails_is_status_1(api: StandIn) -> None:
    """With the reason on stderr."""
    api.ends = [("failed", None, {"code": "context_length_exceeded", "message": "too long"})]
    answered = forebay(api, "ask", "How much?")
    assert (answered.exit_code, answered.stderr) == (1, "failed: too long\n")
