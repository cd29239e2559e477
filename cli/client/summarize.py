"""`forebay summarize`: a folder handed over, and a summary of each file in another."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from cli.client import client as api
from cli.client.client import ApiError, Client, Job

_FILES_AT_ONCE = 20
_BYTES_AT_ONCE = 16 << 20
_NOTE = ".forebay-summary.json"  # in the folder of the summaries: what `--resume` goes on with
_ALL = "SUMMARY.md"
_WAIT_S = 1


@dataclass(slots=True)
class Errand:
    """A summary that was asked for: where its results go, which file each document was, how far they are written."""

    out: Path
    summary_id: str
    files: dict[str, str]  # by the document's id, the path below what was named
    read: int = 0  # the number of the last result that is written
    failed: dict[str, str] = field(default_factory=dict)  # by path, why there is no summary
    sentences: int = 0  # of all summaries, `own` of them word for word as in the files
    own: int = 0

    def save(self) -> None:
        told = {"id": self.summary_id, "files": self.files, "read": self.read, "failed": self.failed}
        told |= {"sentences": self.sentences, "own": self.own}
        new = self.out / f"{_NOTE}.new"
        new.write_text(json.dumps(told), encoding="utf-8")
        new.replace(self.out / _NOTE)

    @classmethod
    def load(cls, out: Path) -> "Errand":
        """Raises `UsageError` where no summary was begun in the folder."""
        try:
            told = json.loads((out / _NOTE).read_text(encoding="utf-8"))
            known = (told[name] for name in ("id", "files", "read", "failed", "sentences", "own"))
            return cls(out, *known)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise click.UsageError(f"{out} has no summary to resume: {error}") from error

    def write(self, result: dict[str, Any]) -> None:
        """The document's file, or why there is none."""
        path = self.files.get(result["document_id"] or "") or result["filename"] or str(result["job_id"])
        if result["summary"] is None:
            self.failed[path] = result["error"]["message"] if result["error"] else result["status"]
        else:
            target = self.out / f"{path}.md"
            target.parent.mkdir(parents=True, exist_ok=True)
            self.sentences += len(result["sentences"])
            self.own += sum(sentence["by"] == "text" for sentence in result["sentences"])
            target.write_text(page(result["title"] or path, result["summary"], result["sentences"]), encoding="utf-8")
        self.read = result["number"]
        self.save()


@click.command()
@click.argument("paths", metavar="PATH…", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Where summaries go.")
@click.option("--style", type=click.Choice(["brief", "bullets", "executive"]), help="`brief` if not given.")
@click.option("--instruction", help="What is wanted of each file, instead of a style.")
@click.option("--words", type=click.IntRange(5, 1000), help="About so many.")
@click.option("--sentences", type=click.IntRange(1, 50), help="At most so many; of bullets, points.")
@click.option("--language", help="As a code or a name; the file's own if not given.")
@click.option("--model", help="The default for chats if not given.")
@click.option("--combine", is_flag=True, help=f"Also one summary of all, in {_ALL}.")
@click.option("--resume", is_flag=True, help="Go on with the summary that was begun in the folder of --out.")
@api.options
def summarize(
    client: Client, paths: tuple[Path, ...], out: Path, resume: bool, combine: bool, **manner: str | int | None
) -> None:
    """Summarise each PATH, and each file in it where it is a folder; a file of the same name below --out for each.

    Ctrl-C asks whether to cancel, or to let it go on without the terminal. Status 1 unless all have a summary.
    """
    if bool(paths) == resume:
        raise click.UsageError("give PATHs, or --resume and none")
    out.mkdir(parents=True, exist_ok=True)
    if resume:
        errand = Errand.load(out)
    else:
        asked: dict[str, Any] = {name: value for name, value in manner.items() if value is not None}
        errand = begin(client, paths, out, asked | ({"combine": True} if combine else {}))
    try:
        ended = follow(client, errand)
    except KeyboardInterrupt:
        _interrupted(client, errand)
        sys.exit(130)
    finish(errand, ended)


def begin(client: Client, paths: Sequence[Path], out: Path, asked: dict[str, Any]) -> Errand:
    """Brings the files and asks for the summary. Raises `ClickException` where none of them is taken."""
    found = list(files(paths, out))
    brought: dict[str, str] = {}
    refused: dict[str, str] = {}
    with click.progressbar(length=len(found), label="bringing", file=sys.stderr) as bar:
        for lot in lots(found):
            _bring(client, lot, brought, refused)
            bar.update(len(lot))
    if not brought:
        for path, why in refused.items():
            _say(f"{path}: {why}")
        raise click.ClickException("there is nothing to summarise")
    job = client.summarize({"documents": list(brought), **asked})
    errand = Errand(out, job["id"], brought, failed=refused)
    errand.save()
    _say(f"{job['id']}: {len(brought)} files")
    return errand


def files(paths: Sequence[Path], out: Path) -> Iterator[tuple[Path, str]]:
    """Each file, and its path below what was named; hidden ones and those in `out` left out."""
    for path in paths:
        if path.is_file():
            yield path, path.name
            continue
        for file in sorted(path.rglob("*")):
            below = file.relative_to(path)
            hidden = any(part.startswith(".") for part in below.parts)
            if file.is_file() and not hidden and not file.resolve().is_relative_to(out.resolve()):
                yield file, str(below)


def lots(found: Sequence[tuple[Path, str]]) -> Iterator[list[tuple[Path, str]]]:
    """The files, as many together as one request may bring."""
    lot: list[tuple[Path, str]] = []
    size = 0
    for file, below in found:
        own = file.stat().st_size
        if lot and (len(lot) == _FILES_AT_ONCE or size + own > _BYTES_AT_ONCE):
            yield lot
            lot, size = [], 0
        lot.append((file, below))
        size += own
    if lot:
        yield lot


def follow(client: Client, errand: Errand) -> Job:
    """Writes each result as it comes; the summary as it ended."""
    documents = len(errand.files)
    with click.progressbar(length=documents, label="summarising", file=sys.stderr, show_pos=True) as bar:
        bar.update(errand.read)
        while True:
            ended = client.summary(errand.summary_id, wait_s=_WAIT_S)
            while results := client.results(errand.summary_id, errand.read):
                for result in results:
                    errand.write(result)
                    bar.update(1)
            if ended["status"] in api.ENDS:
                return ended


def finish(errand: Errand, ended: Job) -> None:
    """Tells what became of the files; ends the command with status 1 unless all have a summary."""
    if ended["summary"]:
        text = page("Summary", ended["summary"], [])
        (errand.out / _ALL).write_text(text, encoding="utf-8")
    for path, why in sorted(errand.failed.items()):
        _say(f"{path}: {why}")
    _say(f"{ended['counts']['succeeded']} summaries in {errand.out}, {len(errand.failed)} files without one")
    if errand.own:
        _say(f"{errand.own} of their {errand.sentences} sentences stand in the files word for word")
    if errand.failed or ended["status"] != "succeeded":
        sys.exit(1)


def page(title: str, summary: str, sentences: Sequence[dict[str, Any]]) -> str:
    """A document's summary as Markdown, and below it where each sentence comes from."""
    sources = [f"{number}. {_source(each)}" for number, each in enumerate(sentences, 1) if each["begins"] is not None]
    below = ["", "---", "", "Where the sentences come from:", "", *sources] if sources else []
    return "\n".join([f"# {title}", "", summary, *below, ""])


def _source(sentence: dict[str, Any]) -> str:
    page = f"page {sentence['page']}, " if sentence["page"] else ""
    own = ", word for word" if sentence["by"] == "text" else ""
    return f"{page}characters {sentence['begins']} to {sentence['ends']}{own}"


def _bring(client: Client, lot: Sequence[tuple[Path, str]], brought: dict[str, str], refused: dict[str, str]) -> None:
    """Has the files taken together; one by one, where one of them isn't."""
    try:
        made = client.bring([file for file, _ in lot])
    except ApiError as error:
        if error.status not in (400, 413, 422):
            raise
        if len(lot) == 1:
            refused[lot[0][1]] = error.format_message()
        else:
            for one in lot:
                _bring(client, [one], brought, refused)
        return
    brought.update({document["id"]: below for document, (_, below) in zip(made, lot, strict=True)})


def _interrupted(client: Client, errand: Errand) -> None:
    """Asks what is to become of the summary; without a terminal it goes on."""
    click.echo(err=True)
    answer = "d"
    if sys.stdin.isatty():
        question = "Cancel the summary, or detach and let it go on? [c/d]"
        answer = click.prompt(question, type=click.Choice(["c", "d"]), default="d", show_choices=False, err=True)
    if answer == "c":
        client.cancel(errand.summary_id)
        _say(f"{errand.summary_id} is cancelled; what was done is in {errand.out}")
        return
    _say(f"{errand.summary_id} goes on: `forebay watch {errand.summary_id}` shows it,")
    _say(f"and `forebay summarize --resume --out {errand.out}` writes what has come")


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)
