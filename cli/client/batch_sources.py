"""What a batch is made of: a file of requests as it is, or prompts, in a folder's files or a table's rows."""

import csv
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from cli.client import folders

CHATS = "/v1/chat/completions"

_PLACE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_TEXTS = frozenset({".txt", ".md", ".prompt"})
_MAX_ID = 512


@dataclass(frozen=True, slots=True)
class Asking:
    """How each prompt is asked. In the template `{name}` stands for a column of the row; of a folder's file for its
    `text` and its `name`. Braces are written twice."""

    model: str | None = None
    system: str | None = None
    template: str | None = None
    max_tokens: int | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    def line(self, custom_id: str, prompt: str) -> dict[str, Any]:
        """The line of a batch's file that asks this."""
        before = [] if self.system is None else [{"role": "system", "content": self.system}]
        body = {"model": self.model, "messages": [*before, {"role": "user", "content": prompt}], **self.params}
        if self.max_tokens is not None:
            body["max_completion_tokens"] = self.max_tokens
        return {"custom_id": custom_id, "method": "POST", "url": CHATS, "body": body}

    @property
    def is_given(self) -> bool:
        return self != Asking()


@contextmanager
def opened(source: Path, asking: Asking) -> Iterator[Path]:
    """The file of requests that the source is, or one that is made of its prompts for as long as the block lasts.

    Raises `UsageError` for what can't be made one.
    """
    if source.is_dir():
        lines = _of_folder(source, asking)
    elif source.suffix.lower() == ".csv":
        lines = _of_table(source, asking)
    elif asking.is_given:
        raise click.UsageError(f"{source} has its requests already: what they ask is in them")
    else:
        yield source
        return
    if asking.model is None:
        raise click.UsageError("--model is needed for prompts")
    with TemporaryDirectory(prefix="forebay-batch-") as folder:
        made = Path(folder) / f"{source.resolve().name}.jsonl"
        if not _write(made, lines):
            raise click.UsageError(f"{source} has no prompts")
        yield made


def endpoint(requests: Path) -> str:
    """What the file's first request is for; chats where it doesn't say."""
    with requests.open(encoding="utf-8", errors="replace") as opened:
        first = next((line for line in opened if line.strip()), "")
    try:
        url = json.loads(first)["url"]
    except (ValueError, KeyError, TypeError):
        return CHATS
    return url if isinstance(url, str) else CHATS


def _write(made: Path, lines: Iterator[dict[str, Any]]) -> int:
    """How many lines were written."""
    count = 0
    with made.open("w", encoding="utf-8") as opened:
        for line in lines:
            opened.write(json.dumps(line, ensure_ascii=False) + "\n")
            count += 1
    return count


def _of_folder(folder: Path, asking: Asking) -> Iterator[dict[str, Any]]:
    """A prompt a file, named after its path below the folder. Hidden files, empty ones and other kinds are left out,
    which is told."""
    left_out = folders.Found()
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        if path.is_dir():
            continue
        if reason := _refused(below):
            left_out.skipped[reason].append(below)
            continue
        name, text = below.as_posix(), _read(path)
        if not text.strip():
            left_out.skipped["empty"].append(below)
        else:
            yield asking.line(_id(name), filled(asking.template or "{text}", {"text": text, "name": name}))
    folders.say_skipped(left_out)


def _refused(below: Path) -> str | None:
    """Why a file is no prompt, by its name; None where it is one."""
    if any(part.startswith(".") for part in below.parts):
        return "hidden"
    return None if below.suffix.lower() in _TEXTS else "of another kind"


def _of_table(table: Path, asking: Asking) -> Iterator[dict[str, Any]]:
    """A prompt a row, named by its `custom_id` or by its number from 1."""
    if asking.template is None:
        raise click.UsageError('--template is needed for rows, as in --template "Summarise: {text}"')
    try:
        with table.open(encoding="utf-8-sig", newline="") as opened:
            for number, row in enumerate(csv.DictReader(opened, strict=True), 1):
                if None in row or None in row.values():
                    many = "more" if None in row else "fewer"
                    raise click.UsageError(f"row {number} of {table} has {many} values than there are columns")
                yield asking.line(_id(row.get("custom_id") or f"row-{number}"), filled(asking.template, row))
    except (UnicodeDecodeError, csv.Error) as error:
        raise click.UsageError(f"{table} can't be read: {error}") from error


def filled(template: str, given: Mapping[str, str]) -> str:
    """The template with what is given in its places. Raises `UsageError` for a place that nothing is given for, and
    for a brace that stands alone."""

    def put(place: re.Match[str]) -> str:
        if place[0] in ("{", "}"):
            raise click.UsageError(f"the template's {place[0]} stands alone: braces are written twice")
        if place[1] is None:
            return place[0][0]
        if place[1] not in given:
            raise click.UsageError(f"the template's {place[0]} is none of {', '.join(sorted(given))}")
        return given[place[1]]

    return _PLACE.sub(put, template)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} can't be read: {error}") from error


def _id(name: str) -> str:
    if len(name) > _MAX_ID:
        raise click.UsageError(f"{name[:64]}… has more than {_MAX_ID} characters: no request can be called so")
    return name
