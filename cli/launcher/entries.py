"""Entries of the catalogue as text, for whoever pastes them and for what `forebay up` writes itself."""

import json
import re
from collections.abc import Container, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import click

from cli.launcher import trial

_LONGEST_NAME = 64  # it is part of the name of a log


def name_of(file: Path, taken: Container[str] = ()) -> str:
    """A legal name for the model in the file, after the file's own; with a number when that is taken."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", file.stem)[:_LONGEST_NAME].strip("-_") or "model"
    if name not in taken:
        return name
    return next(numbered for number in count(2) if (numbered := f"{name}-{number}") not in taken)


def placed(file: Path) -> Path:
    """Where the file is, from the root on. Raises `ClickException` when the catalogue can't hold that path."""
    try:
        str(file.absolute()).encode()
    except UnicodeEncodeError as error:
        name = trial.plain(str(file))
        raise click.ClickException(f"{name}: a path in the catalogue must be UTF-8; rename the file") from error
    return file.absolute()


def types(header: Mapping[str, Any]) -> list[str]:
    """The types of jobs that a model with this header serves."""
    if header["embeds"]:
        return ["embed"]
    if header["reranks"]:
        return ["rerank"]
    return ["generate", *["chat"] * header["template"], *["infill"] * header["infills"]]


def table(name: str, entry: Mapping[str, Any]) -> str:
    """The entry as TOML, without a line's end. Its texts must be UTF-8."""
    return "\n".join([f"[{_key(name)}]", *(f"{_key(key)} = {_value(value)}" for key, value in entry.items())])


def _key(name: str) -> str:
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else _text(name)


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value)
        case int() | float():
            return repr(value)
        case list():
            return f"[{', '.join(map(_value, value))}]"
        case dict():
            return f"{{ {', '.join(f'{_key(key)} = {_value(inner)}' for key, inner in value.items())} }}"
    return str(value.isoformat())  # TOML's other values are dates and times


def _text(text: str) -> str:
    # TOML's escapes are JSON's, but it takes no half of a surrogate pair and no DEL as it is.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
