"""`forebay ingest`: bring files and folders to be searched and asked about."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from cli.client import client as api
from cli.client import folders, progress, submit
from cli.client.client import ApiError, Client, Job
from cli.client.folders import File
from tasks.documents import kinds

_WAIT_S = 1
_UNREADABLE = ("unreadable_document", "document_too_large")  # which they'll be again


@dataclass(slots=True)
class Errand:
    """What is brought where, and what became of it: files that are unchanged, those in jobs, why others failed, and
    what else is to be said of documents by their names."""

    client: Client
    collection: str
    fields: dict[str, str]
    unchanged: list[str] = field(default_factory=list)
    waiting: dict[str, list[File]] = field(default_factory=dict)  # by job
    failed: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, list[str]] = field(default_factory=dict)
    ready: int = 0


@click.command()
@click.argument("paths", metavar="PATH…", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--collection", default="default", show_default=True, help="Made when there is none of this name.")
@click.option("--metadata", metavar="NAME=VALUE", multiple=True, help="Said of every file; a search can filter by it.")
@click.option("--language", help="Whose words a new collection has, as a code or a name; english if not given.")
@click.option("--charset", help="Of plain texts that don't say theirs; it is guessed if not given.")
@api.options
def ingest(
    client: Client, paths: tuple[Path, ...], collection: str, metadata: tuple[str, ...], **given: str | None
) -> None:
    """Bring each PATH, and each file in it where it is a folder, into a collection, and wait until it can be found.

    A file is known again by its path from the folder: what is there unchanged is left out, what has changed replaces
    what was there. After Ctrl-C say the same again. Prints the ids of new documents; status 1 unless all could be read.
    """
    facts = dict(submit.assignment("--metadata", text) for text in metadata)
    files = folders.found(paths)
    folders.say_skipped(files)
    fields = {"collection": collection, **{name: text for name, text in given.items() if text is not None}}
    errand = Errand(client, collection, fields | ({"metadata": json.dumps(facts)} if facts else {}))
    try:
        bring(errand, files.files)
        follow(errand)
    except KeyboardInterrupt:
        _say(f"what was brought goes on; say the same again to go on with the rest of {len(files.files)} files")
        sys.exit(130)
    _finish(errand)


def bring(errand: Errand, files: Sequence[File]) -> None:
    """Has all files accepted that aren't there, before the first is waited for."""
    with progress.bar("bringing", len(files)) as bar:
        new: list[File] = []
        for file in files:
            try:
                there = _is_there(errand, file)
            except OSError as error:
                errand.failed[file.name], there = str(error), True
            if there:
                bar.advance(1)
            else:
                new.append(file)
        for lot in folders.lots(new):
            _bring(errand, lot)
            bar.advance(len(lot))


def follow(errand: Errand) -> None:
    """Waits for the jobs, and tells of every document that is ready."""
    total = sum(file.size for files in errand.waiting.values() for file in files)
    with progress.bar("reading", total) as bar:
        for job_id, files in errand.waiting.items():
            size, done = sum(file.size for file in files), 0.0
            while (job := errand.client.get(job_id, wait_s=_WAIT_S))["status"] not in api.ENDS:
                share = job["progress"]["done"] / max(1, job["progress"]["total"]) if job["progress"] else 0.0
                # Embedding counts from the beginning again what reading has counted.
                bar.advance(max(0.0, size * share - done))
                done = max(done, size * share)
            bar.advance(size - done)
            _end(errand, files, job)


def _is_there(errand: Errand, file: File) -> bool:
    """Whether the newest version of the file in the collection has its contents; one on its way is waited for."""
    known = errand.client.documents(collection=errand.collection, external_id=file.name)
    newest = next((document for document in known if document["status"] != "failed"), None)
    digest = newest["digest"] if newest else None
    if newest is None and kinds.kind_of(file.path.name) in kinds.ARCHIVES:
        newest = _newest_member(errand, file)
        digest = newest["archive"]["digest"] if newest else None
    if newest is None or digest != folders.digest(file):
        return False
    if newest["status"] == "ready":
        errand.unchanged.append(file.name)
        errand.warnings[newest["external_id"]] = newest["warnings"]
    else:
        errand.waiting.setdefault(newest["links"]["job"].rpartition("/")[2], []).append(file)
    return True


def _newest_member(errand: Errand, archive: File) -> dict[str, Any] | None:
    """Of what the archive has become, a document of its newest version; None unless all went as far as it can."""
    known = errand.client.documents(collection=errand.collection, archive=archive.name, limit="100")
    newest = next((document for document in known if document["status"] != "failed"), None)
    lost = (document["error"]["code"] not in _UNREADABLE for document in known if document["status"] == "failed")
    return None if any(lost) else newest


def _bring(errand: Errand, lot: Sequence[File]) -> None:
    """Has the files taken together; one by one, where one of them isn't."""
    fields = errand.fields | {"external_ids": json.dumps([file.name for file in lot])}
    try:
        job = errand.client.upload([file.path for file in lot], fields)
    except OSError as error:
        refused = str(error)
    except ApiError as error:
        if error.status != 413 and error.param != "file":
            raise  # what is said of all files is wrong
        refused = error.format_message()
    else:
        errand.waiting[job["id"]] = list(lot)
        return
    if len(lot) == 1:
        errand.failed[lot[0].name] = refused
        return
    for one in lot:
        _bring(errand, [one])


def _end(errand: Errand, files: Sequence[File], job: Job) -> None:
    """Prints what became of the files' documents, which others of the same job may stand beside."""
    if not job["result"]:
        for file in files:
            errand.failed[file.name] = _why(errand, file, job)
        return
    ours = {file.name for file in files}
    named = {document["id"]: document["external_id"] or document["filename"] for document in job["result"]["documents"]}
    for document in job["result"]["documents"]:
        name = document["external_id"] or ""
        if name not in ours and not name.startswith(tuple(f"{one}/" for one in ours)):
            continue
        errand.warnings[name] = document.get("warnings", [])
        if document["status"] == "ready":
            errand.ready += 1
            click.echo(document["id"])
            if "duplicate_of" in document:
                _say(f"{name}: has the contents of {_called(errand, document['duplicate_of'], named)}")
        else:
            errand.failed[name] = document["error"]["message"] if "error" in document else document["status"]


def _called(errand: Errand, document_id: str, named: dict[str, str | None]) -> str:
    """What the document is called, of this job or another; its id where nothing else is known."""
    if document_id not in named:
        try:
            found = errand.client.document(document_id)
            named[document_id] = found["external_id"] or found["filename"] or found["title"]
        except ApiError:  # it is gone
            named[document_id] = None
    return named[document_id] or document_id


def _why(errand: Errand, file: File, job: Job) -> str:
    """Why a file of a job that has ended without a result can't be found."""
    for document in errand.client.documents(collection=errand.collection, external_id=file.name):
        if document["error"]:
            return str(document["error"]["message"])
    return str(job["error"]["message"] if job["error"] else job["status"])


def _finish(errand: Errand) -> None:
    """Tells what became of all files; ends the command with status 1 unless all could be read."""
    for name, sentences in sorted(errand.warnings.items()):
        for sentence in sentences:
            _say(f"{name}: {sentence}")
    for name, why in sorted(errand.failed.items()):
        _say(f"{name}: {why}")
    _say(f"ready: {errand.ready}, unchanged: {len(errand.unchanged)}, failed: {len(errand.failed)}")
    if errand.failed:
        sys.exit(1)


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)
