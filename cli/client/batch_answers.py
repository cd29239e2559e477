"""What a batch's requests were answered, written where it is wanted: as lines, as a folder of files, as a table."""

import csv
import errno
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TextIO

import click

Line = Mapping[str, Any]

_ODD = re.compile(r"[^\w.@+=, -]")
_ERRORS = "errors"
_NO_NAME = frozenset({errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG})


class Sink(Protocol):
    """Takes results one by one."""

    def take(self, line: Line) -> None: ...


@contextmanager
def sink(out: Path | None, *, goes_on: bool = False) -> Iterator[Sink]:
    """Where results go: stdout as they are, a table where `out` ends in .csv, a file of lines where it ends in .jsonl,
    else a folder. A file that is there already is written anew, unless this `goes_on`: then results come after those
    that it has."""
    if out is None:
        yield Printed()
        return
    suffix = out.suffix.lower()
    if suffix not in (".csv", ".jsonl"):
        out.mkdir(parents=True, exist_ok=True)
        yield Folder(out, goes_on)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a" if goes_on else "w", encoding="utf-8", newline="" if suffix == ".csv" else None) as opened:
        yield Table(opened) if suffix == ".csv" else Lines(opened)


class Printed:
    def take(self, line: Line) -> None:
        click.echo(json.dumps(line, ensure_ascii=False))


@dataclass(slots=True)
class Lines:
    opened: TextIO

    def take(self, line: Line) -> None:
        self.opened.write(json.dumps(line, ensure_ascii=False) + "\n")
        self.opened.flush()


class Table:
    """A row a result: what it is called, its answer or its error. Where nothing is there yet, below their names."""

    def __init__(self, opened: TextIO) -> None:
        self._opened, self._rows = opened, csv.writer(opened)
        if not opened.tell():
            self._rows.writerow(("custom_id", "status", "answer", "error"))

    def take(self, line: Line) -> None:
        wrong = error(line)
        told = ("failed", "", wrong) if wrong is not None else ("succeeded", answer(line), "")
        self._rows.writerow((line["custom_id"], *told))
        self._opened.flush()


@dataclass(slots=True)
class Folder:
    """A file a result, called as its request is: with the answer, or below `errors` with what went wrong.

    Where that name is another's, or no file can be called so, it gets one that no other request has, and that is said.
    """

    path: Path
    goes_on: bool = False
    _written: set[Path] = field(default_factory=set)

    def take(self, line: Line) -> None:
        wrong, custom_id = error(line), line["custom_id"]
        text = answer(line) if wrong is None else wrong
        text = text if text.endswith("\n") else f"{text}\n"
        base, below = (self.path, _beside_errors(custom_id)) if wrong is None else (self._errors(), _below(custom_id))
        target = base / below
        try:
            if not self._write(target, text):
                target = base / _own_name(custom_id)
                target.write_text(text, encoding="utf-8")
                click.echo(f"{custom_id} is in {target}, as no more files can be called {below}", err=True)
        except OSError as failed:
            raise click.ClickException(f"{target} can't be written: {failed}") from failed

    def _errors(self) -> Path:
        folder = self.path / _ERRORS
        folder.mkdir(exist_ok=True)
        return folder

    def _write(self, target: Path, text: str) -> bool:
        """Whether the file could be called so. Where this goes on, a file with another text is another request's."""
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target in self._written or (self.goes_on and target.exists() and target.read_bytes() != text.encode()):
                return False
            target.write_text(text, encoding="utf-8")
        except OSError as failed:
            if failed.errno in _NO_NAME:
                return False
            raise
        self._written.add(target)
        return True


def answer(line: Line) -> str:
    """What the request was answered: its text where it has one, else the body as JSON."""
    body = line["response"]["body"]
    choices = body.get("choices") or [{}]
    text = choices[0].get("text") or (choices[0].get("message") or {}).get("content")
    if text is None and isinstance(body.get("content"), list):  # a message of Anthropic's
        text = "".join(block.get("text", "") for block in body["content"]) or None
    return text if isinstance(text, str) else json.dumps(body, ensure_ascii=False)


def error(line: Line) -> str | None:
    """What went wrong, in a line; None where nothing did."""
    if line["error"] is not None:
        return f"{line['error']['code']}: {line['error']['message']}"
    if line["response"]["status_code"] < 400:
        return None
    told = line["response"]["body"].get("error", {})
    return f"{told.get('code') or told.get('type')}: {told.get('message')}"


def _below(custom_id: str) -> Path:
    """A path that stays where it is put, whatever a request is called."""
    parts = [_ODD.sub("_", part)[:200] for part in custom_id.split("/")]
    kept = [part if part.strip(". ") else "_" for part in parts if part]
    path = Path(*kept or ["_"])
    return path if path.suffix else path.with_suffix(".txt")


def _beside_errors(custom_id: str) -> Path:
    """The path of an answer, which isn't below the folder of errors."""
    path = _below(custom_id)
    return Path(f"_{path}") if path.parts[0] == _ERRORS else path


def _own_name(custom_id: str) -> str:
    """A name that no other request's file has."""
    digest = hashlib.sha256(custom_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{_below(custom_id).stem[:40]}-{digest[:12]}.txt"
