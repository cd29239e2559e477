"""The commands about documents, against a stand-in of the API: `ingest`, `search` and `ask`."""

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


def ready(number: int) -> tuple[str, Any, Any]:
    """The end of a job that ingested one document."""
    document = {"id": f"doc_{number}", "title": None, "filename": "x", "status": "ready", "chunks": 3}
    return "succeeded", {"collection": "default", "documents": [document], "chunks": 3}, None


def test_ingest_brings_each_file_and_waits_for_all(api: StandIn, files: list[Path]) -> None:
    """Each file is a job of its own, titled by its name; the documents' ids are what scripts get."""
    api.ends = [ready(0), ready(1)]
    done = forebay(api, "ingest", *files, "--collection", "boats", "--metadata", "year=2026", "--metadata", "by=Clara")
    assert (done.exit_code, done.stdout) == (0, "doc_0\ndoc_1\n")
    assert "chunks: 3" in done.stderr
    metadata = json.dumps({"year": 2026, "by": "Clara"}).encode()
    assert [form["file"] for form in api.brought] == [b"This is facts.txt.", b"This is boat.md."]
    assert [form["filename"] for form in api.brought] == [b"facts.txt", b"boat.md"]
    assert api.brought[0] | {"file": b"", "filename": b""} == {
        "collection": b"boats",
        "title": b"facts.txt",
        "metadata": metadata,
        "file": b"",
        "filename": b"",
    }


def test_ingest_tells_of_a_file_that_can_not_be_read(api: StandIn, files: list[Path]) -> None:
    """The others are ingested all the same, and the status says that not all was well."""
    error = {"code": "unreadable_document", "message": "it holds no text"}
    api.ends = [("failed", None, error), ready(1)]
    done = forebay(api, "ingest", *files)
    assert (done.exit_code, done.stdout) == (1, "doc_1\n")
    assert f"{files[0]}: it holds no text" in done.stderr


def test_ingest_tells_of_a_file_that_is_refused(api: StandIn, files: list[Path]) -> None:
    """A kind of file that the API doesn't take doesn't stop the others."""
    api.refused, api.ends = {"facts.txt"}, [ready(0)]
    done = forebay(api, "ingest", *files)
    assert (done.exit_code, done.stdout) == (1, "doc_0\n")
    assert f"{files[0]}: file: must end in" in done.stderr


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
