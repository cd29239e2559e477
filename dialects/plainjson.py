"""JSON as clients send it: bytes in, one plain value out, or an error that says where it isn't one.

Python's parser is lenient where PostgreSQL, other parsers or our stack are not: NaN, duplicate keys, NUL, lone
surrogates, digits and brackets without end. All of that is refused here, before anything else sees it.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tasks.errors import Malformed

MAX_DEPTH = 64
_MAX_DIGITS = 18  # within 64 bits; nothing we take is larger

_MARKS_AND_STRINGS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{},]', re.DOTALL)
_GZIP = b"\x1f\x8b"
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def parse(raw: bytes, max_values: int, *, where: tuple[str, ...] = ()) -> dict[str, Any]:
    """The JSON object in `raw`, which is the whole body or the field at this path. Raises `Malformed`."""
    value = _parsed(raw, max_values, where)
    if not isinstance(value, dict):
        raise _malformed(where, f"{'it' if where else 'the body'} must be a JSON object")
    return value


def parse_list(raw: bytes, max_values: int, *, where: tuple[str, ...]) -> list[Any]:
    """The JSON array in `raw`, which is the field at this path. Raises `Malformed`."""
    value = _parsed(raw, max_values, where)
    if not isinstance(value, list):
        raise _malformed(where, "it must be a JSON array")
    return value


def _parsed(raw: bytes, max_values: int, where: tuple[str, ...]) -> Any:
    text, what = decode(raw, where), "it" if where else "the body"
    try:
        _refuse_shape(text, max_values)
        value = _DECODER.decode(text)
    except _Refused as error:
        raise _malformed((*where, *error.path), f"{what} {error}") from error
    except (ValueError, RecursionError) as error:
        place = f" at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise _malformed(where, f"{what} isn't JSON{place}") from error
    for path, fault in _faults(value, where):
        raise _malformed(path, fault)
    return value


def decode(raw: bytes, where: tuple[str, ...] = ()) -> str:
    """The text in `raw`, which is the whole body or the field at this path. Raises `Malformed`."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        wrong = (
            "is compressed (gzip): send it as it is" if raw.startswith(_GZIP) else f"isn't UTF-8 at byte {error.start}"
        )
        raise _malformed(where, f"{'it' if where else 'the body'} {wrong}") from error


def refuse_unstorable(text: str, where: tuple[str, ...]) -> None:
    """Raises `Malformed` for a text that PostgreSQL can't keep."""
    for path, fault in _faults(text, where):
        raise _malformed(path, fault)


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can keep it."""
    return _UNSTORABLE.search(text) is None


def shown(text: str) -> str:
    """The text with a sign in the place of each character that can't be kept."""
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def _malformed(where: tuple[str, ...], message: str) -> Malformed:
    return Malformed(".".join(where)[:200] or None, message)


class _Refused(Exception):
    """`path` is that of the field in which too much was found, as far as it is known."""

    def __init__(self, message: str, path: tuple[str, ...]) -> None:
        super().__init__(message)
        self.path = path


@dataclass(frozen=True, slots=True)
class _Fault:
    """Stands where something stood that can't be accepted, so that the error can say where."""

    message: str
    key: str | None = None


def _refuse_shape(text: str, max_values: int) -> None:
    """Before anything is made of it: a few bytes of JSON can ask for a hundred times their size in memory and time."""
    if text.count("[") + text.count("{") <= MAX_DEPTH and text.count(",") <= max_values:
        return
    depth = values = 0
    field = ""
    for match in _MARKS_AND_STRINGS.finditer(text):
        first = match[0][0]
        if first in "[{,":
            values += 1
            depth += first != ","
            if depth > MAX_DEPTH:
                raise _Refused(f"is nested deeper than {MAX_DEPTH} levels", _path(text, field, depth))
            if values > max_values:
                raise _Refused(f"has more than {max_values} values", _path(text, field, depth))
        elif first == '"':
            field = match[0] if depth == 1 else field
        else:
            depth -= 1


def _path(text: str, field: str, depth: int) -> tuple[str, ...]:
    """The path of an object's field, which is the last string before what it has within; none within the object itself,
    or for a name that is written with escapes."""
    named = depth > 1 and "\\" not in field and text.lstrip().startswith("{")
    return (shown(field.strip('"')),) if named else ()


def _faults(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each thing in a parsed value that can't be accepted, with its path. As deep as `_refuse_shape` allows."""
    if isinstance(value, str):
        if not is_storable(value):
            yield path, "NUL and lone surrogates can't be accepted"
    elif isinstance(value, dict):
        for key, member in value.items():
            if not is_storable(key):
                yield path, "a key has a NUL or a lone surrogate"
            yield from _faults(member, (*path, key))
    elif isinstance(value, list):
        for i, member in enumerate(value):
            yield from _faults(member, (*path, str(i)))
    elif isinstance(value, _Fault):
        yield (path if value.key is None else (*path, value.key)), value.message


def _object(pairs: list[tuple[str, Any]]) -> Any:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return _Fault("the key is there twice", shown(key))
        seen.add(key)
    raise AssertionError("fewer members than pairs, and no key twice")


def _whole(digits: str) -> Any:
    return int(digits) if len(digits) <= _MAX_DIGITS else _Fault("the number is too large")


def _real(digits: str) -> Any:
    number = float(digits)
    return number if math.isfinite(number) else _Fault("the number is too large")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_constant=lambda name: _Fault(f"{name} is not a number"),
    parse_int=_whole,
    parse_float=_real,
)
