"""JSON, and lines of it, as lines that say of each value where it is."""

import json
from collections.abc import Iterator
from typing import Any

from tasks import errors
from workers.extraction import plaintext
from workers.extraction.writing import Writer

LIBRARIES = ("chardet", "json")


def prepare() -> None:
    plaintext.prepare()


def read(raw: bytes, told: dict[str, Any], writer: Writer) -> None:
    """`path: value` for each value; the entries of a list, or the lines of JSONL, are paragraphs."""
    found = plaintext.decode(raw, told["charset"])
    writer.charset = found.charset
    values = _lines(found.text, writer) if told["kind"] == "jsonl" else _entries(_value(found.text))
    for place, value in values:
        writer.block("\n".join(f"{path}: {shown}" if path else shown for path, shown in _flat(place, value)))


def _value(text: str) -> Any:
    try:
        return _parsed(text)
    except json.JSONDecodeError as error:
        raise errors.UnreadableDocument(f"it can't be read as json: {error}") from error


def _parsed(text: str) -> Any:
    """The value, its numbers as they are written."""
    return json.loads(text, parse_int=str, parse_float=str, parse_constant=str)


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """What is to be a paragraph each, and its path."""
    if isinstance(value, list):
        yield from ((f"[{number}]", entry) for number, entry in enumerate(value))
    elif isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, list):
                yield from ((f"{key}[{number}]", entry) for number, entry in enumerate(inner))
            else:
                yield key, inner
    else:
        yield "", value


def _lines(text: str, writer: Writer) -> Iterator[tuple[str, Any]]:
    """The value of each line; those that are no JSON are left out, unless all are."""
    right, wrong = 0, []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = _parsed(line)
        except (json.JSONDecodeError, RecursionError):
            wrong.append(number)
            continue
        right += 1
        yield "", value
    if wrong and not right:
        raise errors.UnreadableDocument("it can't be read as jsonl: no line of it is JSON")
    if wrong:
        writer.warn(f"{len(wrong)} lines aren't JSON and were left out, the first is line {wrong[0]}")


def _flat(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """The values in a value, each with its path."""
    waiting = [(path, value)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            inner = [(f"{path}.{key}" if path else key, one) for key, one in value.items()]
            waiting.extend(reversed(inner))
        elif isinstance(value, list):
            if value and not any(isinstance(one, dict | list) for one in value):
                yield path, ", ".join(_shown(one) for one in value)
            else:
                waiting.extend(reversed([(f"{path}[{number}]", one) for number, one in enumerate(value)]))
        else:
            yield path, _shown(value)


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
