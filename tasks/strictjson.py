"""JSON as PostgreSQL and clients get it: fast, and never with a number that JSON doesn't have."""

import math
from typing import Any

import orjson


def dumps(value: Any) -> str:
    """The value as JSON. Raises `ValueError` for what JSON doesn't have: NaN, infinities, lone surrogates, objects."""
    try:
        made = orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise ValueError(str(error)) from error
    if b"null" in made:  # which orjson also writes for NaN
        refuse_infinite(value)
    return made.decode()


def refuse_infinite(value: Any) -> None:
    """Raises `ValueError` where a number in it isn't finite."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} isn't JSON")
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return
    for one in value:
        refuse_infinite(one)
