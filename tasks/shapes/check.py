"""Whether a value satisfies a schema: what a grammar can't say, and a second look at what it can.

By the `jsonschema` library, which is imported here and nowhere else, in the child only: patterns that catastrophe lies
in, and comparisons of everything with everything, need an end from outside.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema
import referencing
import referencing.exceptions
from jsonschema import exceptions, protocols, validators

from tasks import errors
from tasks.shapes import formats, regex

_Faults = Iterator[jsonschema.ValidationError]


class _Formats(jsonschema.FormatChecker):
    """Knows the formats that the grammar knows."""

    def check(self, instance: object, format: str) -> None:
        pattern = formats.PATTERNS.get(format)
        if pattern and isinstance(instance, str) and not regex.python(pattern).search(instance):
            raise exceptions.FormatError(f"{instance!r} is not a {format!r}")


def usable(schema: Any, path: str) -> None:
    """Raises `SchemaRefused` when it is no schema of its draft, which is 2020-12 unless `$schema` says another."""
    draft = _draft(schema)
    fault = next(iter(sorted(draft(draft.META_SCHEMA).iter_errors(schema), key=lambda one: len(one.path))), None)
    if fault is not None:
        raise errors.SchemaRefused(_place(path, fault), _said(fault))


def faults(schema: Any, value: Any) -> str | None:
    """The first thing that is wrong with the value, and where; None when it satisfies the schema.

    Formats count where the grammar knows them; patterns find what ECMA's do with classes of ASCII. Raises
    `SchemaRefused` for a reference to nothing.
    """
    checker = _checking(_draft(schema))(schema, registry=referencing.Registry(), format_checker=_Formats())
    try:
        fault = next(checker.iter_errors(value), None)
    except referencing.exceptions.Unresolvable as error:  # in a part that the grammar leaves to this check
        raise errors.SchemaRefused("", f"there is nothing at {error.ref[:200]}") from error
    return None if fault is None else f"{_place('$', fault)}: {_said(fault)}"


def _draft(schema: Any) -> Any:
    return validators.validator_for(schema, default=jsonschema.Draft202012Validator)


@cache
def _checking(draft: Any) -> Any:
    """The draft's validator, which reads `nullable` and patterns as the grammar does."""
    nullable = {key: _unless_null(draft.VALIDATORS[key]) for key in ("type", "enum") if key in draft.VALIDATORS}
    extend: Any = validators.extend
    return extend(draft, {**nullable, "pattern": _pattern, "patternProperties": _pattern_properties})


def _unless_null(check: Any) -> Any:
    def checked(validator: protocols.Validator, told: Any, value: Any, schema: Any) -> _Faults:
        if value is None and schema.get("nullable") is True:
            return
        yield from check(validator, told, value, schema) or ()

    return checked


def _pattern(validator: protocols.Validator, pattern: str, value: Any, schema: Any) -> _Faults:  # noqa: ARG001 - theirs
    if isinstance(value, str) and not regex.python(pattern).search(value):
        yield jsonschema.ValidationError(f"{value!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any,
    patterns: dict[str, Any],
    value: Any,
    schema: Any,  # noqa: ARG001 - the library's signature
) -> _Faults:
    if not isinstance(value, dict):
        return
    for pattern, inner in patterns.items():
        for name, one in value.items():
            if regex.python(pattern).search(name):
                yield from validator.descend(one, inner, path=name, schema_path=pattern)


def _place(path: str, fault: jsonschema.ValidationError) -> str:
    return ".".join([path, *map(str, fault.absolute_path)])


def _said(fault: jsonschema.ValidationError) -> str:
    """What the library says, without the value at length."""
    return fault.message if len(fault.message) <= 300 else f"{fault.message[:200]} … {fault.message[-80:]}"
