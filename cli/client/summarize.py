"""`forebay summarize`: a folder handed over, and a summary of each file in another."""

import json
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from cli.client import client as api
from cli.client import folders, wording
from cli.client.client import ApiError, Client, Job
from cli.client.folders import File

_NOTE = ".forebay-summary.json"  # in the folder of the summaries: what `--resume` goes on with
_COUNTS = ("sentences", "own", "steps", "known")
_KNOWN = ("there", "digests")
_ALL = "SUMMARY.md"
_WAIT_S = 1


@dataclass(slots=True)
class Errand:
    """What is to be summarised, where the results go, and how far that has come.

    Files are `waiting` to be brought, each under its path below `out`, unless they are `there` from an earlier summary
    into this folder; then the summary is `asked` for, once.
    """

    out: Path
    asked: dict[str, Any]
    waiting: list[File]
    once: str = field(default_factory=lambda: uuid.uuid4().hex)
    summary_id: str | None = None
    files: dict[str, str] = field(default_factory=dict)  # by the document's id, the path below `out`
    there: dict[str, str] = field(default_factory=dict)  # likewise, of what another summary brought
    digests: dict[str, str] = field(default_factory=dict)  # by the document's id, its contents' SHA-256
    read: int = 0  # the number of the last result that is written
    failed: dict[str, str] = field(default_factory=dict)  # by path, why there is no summary
    refused: int = 0  # of the files, that could not be brought
    sentences: int = 0  # of all summaries, `own` of them word for word as in the files
    own: int = 0
    steps: int = 0  # of all summaries, `known` of them from before
    known: int = 0

    @property
    def summary(self) -> str:
        assert self.summary_id is not None
        return self.summary_id

    def save(self) -> None:
        told = {"id": self.summary_id, "files": self.files, "read": self.read, "failed": self.failed}
        told |= {name: getattr(self, name) for name in (*_COUNTS, *_KNOWN, "refused")}
        waiting = [(str(file.path), file.name, file.size) for file in self.waiting]
        new = self.out / f"{_NOTE}.new"
        new.write_text(json.dumps({**told, "asked": self.asked, "once": self.once, "waiting": waiting}), "utf-8")
        new.replace(self.out / _NOTE)

    @classmethod
    def load(cls, out: Path) -> "Errand":
        """Raises `UsageError` where no summary was begun in the folder."""
        try:
            told = json.loads((out / _NOTE).read_text(encoding="utf-8"))
            waiting = [File(Path(path), name, size) for path, name, size in told["waiting"]]
            known = {name: told.get(name, {}) for name in _KNOWN} | {"refused": told.get("refused", 0)}
            done = {name: told[name] for name in ("files", "read", "failed", *_COUNTS)}
            return cls(out, told["asked"], waiting, told["once"], told["id"], **done, **known)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise click.UsageError(f"{out} has no summary to resume: {error}") from error

    def brought(self, lot: Sequence[File], made: Sequence[dict[str, Any]]) -> None:
        """The first files that wait don't any more: they are the documents that were made, or have failed."""
        self.waiting = self.waiting[len(lot) :]
        for file, document in zip(lot, made, strict=False):
            self.files[document["id"]] = file.name
            self.digests[document["id"]] = document["digest"]
        self.save()

    def recognise(self, client: Client, earlier: "Errand") -> None:
        """Leaves out of what waits the files that are there as the earlier summary brought them: with their path and
        contents, and ready."""
        known = {path: document_id for document_id, path in (earlier.there | earlier.files).items()}
        for file in self.waiting:
            document_id = known.get(file.name)
            if document_id and _is_there(client, document_id, earlier.digests.get(document_id), file):
                self.there[document_id] = file.name
                self.digests[document_id] = earlier.digests[document_id]
        found = set(self.there.values())
        self.waiting = [file for file in self.waiting if file.name not in found]

    def write(self, result: dict[str, Any]) -> None:
        """The document's file, or why there is none."""
        path = self.files.get(result["document_id"] or "") or " ".join(_named(result))
        if result["summary"] is None:
            self.failed[path] = result["error"]["message"] if result["error"] else result["status"]
        else:
            target = self.out / f"{path}.md"
            target.parent.mkdir(parents=True, exist_ok=True)
            self.sentences += len(result["sentences"])
            self.own += sum(sentence["by"] == "text" for sentence in result["sentences"])
            self.steps += result["steps"] or 0
            self.known += result["cached_steps"] or 0
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

    Ctrl-C asks whether to cancel, or to let it go on without the terminal; pressed again, it goes on. Status 1 unless
    all have a summary. Said again with the same --out, it brings what has changed.
    """
    if bool(paths) == resume:
        raise click.UsageError("give PATHs, or --resume and none")
    out.mkdir(parents=True, exist_ok=True)
    if resume:
        errand = Errand.load(out)
    else:
        asked: dict[str, Any] = {name: value for name, value in manner.items() if value is not None}
        errand = Errand(out, asked | ({"combine": True} if combine else {}), chosen(paths, out))
    try:
        if not resume and (out / _NOTE).exists():
            errand.recognise(client, Errand.load(out))
        if errand.summary_id is None:
            begin(client, errand)
        ended = follow(client, errand)
    except KeyboardInterrupt:
        _interrupted(client, errand)
        sys.exit(130)
    finish(errand, ended)


def chosen(paths: Sequence[Path], out: Path) -> list[File]:
    """The files, each under the path below `out` that its summary gets: of one folder alone, without its name."""
    found = folders.found(paths, beside=out)
    folders.say_skipped(found)
    files = [replace(file, path=file.path.absolute()) for file in found.files]
    if len(paths) > 1 or not paths[0].is_dir():
        return files
    return [replace(file, name=file.name.partition("/")[2]) for file in files]


def begin(client: Client, errand: Errand) -> None:
    """Brings what is still waiting, lot by lot, and asks for the summary. Raises `ClickException` where nothing is
    taken."""
    errand.save()
    if errand.there:
        _say(f"unchanged: {len(errand.there)}, to bring: {len(errand.waiting)}")
    with click.progressbar(length=len(errand.waiting), label="bringing", file=sys.stderr) as bar:
        for lot in list(folders.lots(errand.waiting)):
            _bring(client, lot, errand)
            bar.update(len(lot))
    if not errand.files and not errand.there:
        for path, why in errand.failed.items():
            _say(f"{path}: {why}")
        raise click.ClickException("there is nothing to summarise")
    documents = errand.there | errand.files
    job = client.summarize({"documents": list(documents), **errand.asked}, errand.once)
    errand.summary_id, errand.files, errand.there = job["id"], documents, {}
    errand.save()
    _say(f"{job['id']}: {wording.count(len(errand.files), 'file')}")


def follow(client: Client, errand: Errand) -> Job:
    """Writes each result as it comes; the summary as it ended."""
    documents = len(errand.files)
    with click.progressbar(length=documents, label="summarising", file=sys.stderr, show_pos=True) as bar:
        bar.update(errand.read)
        while True:
            ended = client.summary(errand.summary, wait_s=_WAIT_S)
            while results := client.results(errand.summary, errand.read):
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
    done = ended["counts"]["succeeded"]
    without = len(errand.files) - done + errand.refused
    summaries = wording.count(done, "summary", "summaries")
    _say(f"{summaries} in {errand.out}, {wording.count(without, 'file')} without one")
    if errand.known:
        _say(f"{errand.known} of their {wording.count(errand.steps, 'step')} were known from before")
    if errand.own:
        _say(f"{errand.own} of their {wording.count(errand.sentences, 'sentence')} stand in the files word for word")
    if ended["status"] in ("cancelled", "expired"):
        _say(f"{errand.summary} was {ended['status']}. {_begin_again(errand)}")
    if errand.failed or ended["status"] != "succeeded":
        sys.exit(1)


def page(title: str, summary: str, sentences: Sequence[dict[str, Any]]) -> str:
    """A document's summary as Markdown, and below it where each sentence comes from."""
    sources = [f"{number}. {_source(each)}" for number, each in enumerate(sentences, 1) if each["begins"] is not None]
    below = ["", "---", "", "Where the sentences come from:", "", *sources] if sources else []
    return "\n".join([f"# {title}", "", summary, *below, ""])


def _named(result: dict[str, Any]) -> Iterator[str]:
    """What a document that is gone is told by: others may have been called alike."""
    yield from (result[name] for name in ("filename", "job_id") if result[name])


def _source(sentence: dict[str, Any]) -> str:
    page = f"page {sentence['page']}, " if sentence["page"] else ""
    own = ", word for word" if sentence["by"] == "text" else ""
    return f"{page}characters {sentence['begins']} to {sentence['ends']}{own}"


def _bring(client: Client, lot: Sequence[File], errand: Errand) -> None:
    """Has the next files taken together, and notes it; one by one, where one of them isn't."""
    try:
        made = client.bring([file.path for file in lot])
    except OSError as error:
        refused = str(error)
    except ApiError as error:
        if error.status not in (400, 413, 422):
            raise
        refused = error.format_message()
    else:
        errand.brought(lot, made)
        return
    if len(lot) == 1:
        errand.failed[lot[0].name] = refused
        errand.refused += 1
        errand.brought(lot, [])
        return
    for one in lot:
        _bring(client, [one], errand)


def _is_there(client: Client, document_id: str, digest: str | None, file: File) -> bool:
    """Whether the document is ready to be summarised again, and has the file's contents."""
    try:
        if digest is None or digest != folders.digest(file):
            return False
        return bool(client.document(document_id)["status"] == "ready")
    except OSError:  # which is told when it is brought
        return False
    except ApiError as error:
        if error.status != 404:
            raise
        return False


def _interrupted(client: Client, errand: Errand) -> None:
    """Asks what is to become of the summary; without a terminal, or interrupted again, it is left as it is."""
    click.echo(err=True)
    if errand.summary_id is None:
        if _asked("Give up what was brought, or keep it to go on later? [c/d]") == "c":
            _give_up(client, errand)
            return
        _say(f"{wording.count(len(errand.files), 'file')} brought;")
        _say(f"`forebay summarize --resume --out {errand.out}` brings the rest")
        return
    if _asked("Cancel the summary, or detach and let it go on? [c/d]") == "c":
        client.cancel(errand.summary_id)
        _say(f"{errand.summary_id} is cancelled; what was done is in {errand.out}. {_begin_again(errand)}")
        return
    _say(f"{errand.summary_id} goes on: `forebay watch {errand.summary_id}` shows it,")
    _say(f"and `forebay summarize --resume --out {errand.out}` writes what has come")


def _asked(question: str) -> str:
    """`c` or `d`, which is the answer also of whoever isn't there or presses Ctrl-C once more."""
    if not sys.stdin.isatty():
        return "d"
    try:
        choice = click.Choice(["c", "d"])
        return str(click.prompt(question, type=choice, default="d", show_choices=False, err=True))
    except (click.Abort, KeyboardInterrupt):
        click.echo(err=True)
        return "d"


def _give_up(client: Client, errand: Errand) -> None:
    """Deletes what was brought: no summary will name it."""
    for document_id in list(errand.files):
        client.delete(document_id)
        del errand.files[document_id]
    (errand.out / _NOTE).unlink()
    _say(f"what was brought is deleted. {_begin_again(errand)}")


def _begin_again(errand: Errand) -> str:
    return f"`forebay summarize PATH… --out {errand.out}` begins again: what was done costs nothing"


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)
