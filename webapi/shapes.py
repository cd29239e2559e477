"""How the page describes an answer: JSON schemas made from the typed dictionaries that mypy holds the renderers to.

So a member of an answer is written where it is rendered and nowhere else. In `Annotated`, a text is the member's
description, a dictionary is merged into its schema.
"""

import types
import typing
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, NotRequired, Union

from tasks.jobs.requests import KindName
from tasks.kinds import KINDS
from tasks.times import Moment

Schema = dict[str, Any]

_SIMPLE: dict[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    KindName: {"type": "string", "enum": list(KINDS)},
    Moment: {"type": "string", "format": "date-time"},
    Any: {},
}
_OBJECT = "Object"  # ends the names of those that stand beside a domain's type


def is_shape(type_: Any) -> bool:
    """True for a typed dictionary, also for one of something, as in `List[JobObject]`."""
    return typing.is_typeddict(typing.get_origin(type_) or type_)


def variants(type_: Any) -> tuple[Any, ...]:
    """The typed dictionaries of a union of them; of another type none."""
    each = typing.get_args(type_) if typing.get_origin(type_) in (Union, types.UnionType) else ()
    return each if all(is_shape(one) for one in each) else ()


def reference(shape: Any) -> Schema:
    if each := variants(shape):
        return {"anyOf": [reference(one) for one in each]}
    return {"$ref": f"#/components/schemas/{name(shape)}"}


def name(shape: Any) -> str:
    """What the page calls it: `JobObject` is a Job, `List[JobObject]` a JobList."""
    of = "".join(name(argument) for argument in typing.get_args(shape))
    return of + str((typing.get_origin(shape) or shape).__name__).removesuffix(_OBJECT)


def components(shapes: Iterable[Any]) -> dict[str, Schema]:
    """The schemas of these and of all within them, by name. Raises `ValueError` where two have one name."""
    found: dict[str, Schema] = {}
    left = list(shapes)
    while left:
        shape = left.pop()
        schema = _object(shape)
        if found.setdefault(name(shape), schema) != schema:
            raise ValueError(f"two answers are called {name(shape)}")
        left += [inner for member in _members(shape).values() for inner in _within(member) if name(inner) not in found]
    return found


def _members(shape: Any) -> dict[str, Any]:
    """Its members' types; where it is one of something, that has taken its place."""
    origin = typing.get_origin(shape)
    if origin is None:
        return typing.get_type_hints(shape, include_extras=True)
    filled = dict(zip(origin.__parameters__, typing.get_args(shape), strict=True))
    return {name: _filled(member, filled) for name, member in _members(origin).items()}


def _filled(type_: Any, filled: Mapping[Any, Any]) -> Any:
    if isinstance(type_, typing.TypeVar):
        return filled[type_]
    parameters = getattr(type_, "__parameters__", ())
    return type_[tuple(filled[one] for one in parameters)] if parameters else type_


def _within(type_: Any) -> list[Any]:
    """The typed dictionaries in a member's type."""
    if is_shape(type_):
        return [type_]
    return [shape for argument in typing.get_args(type_) for shape in _within(argument)]


def _object(shape: Any) -> Schema:
    own = typing.get_origin(shape) or shape
    members = {name: _schema(member) for name, member in _members(shape).items()}
    required = [name for name in members if name in own.__required_keys__]
    said = {"description": own.__doc__} if own.__doc__ else {}
    return {"type": "object", "properties": members, "required": required, "additionalProperties": False, **said}


def _schema(type_: Any) -> Schema:
    origin, arguments = typing.get_origin(type_), typing.get_args(type_)
    if is_shape(type_):
        return reference(type_)
    if origin is Annotated:
        return _annotated(_schema(arguments[0]), arguments[1:])
    if origin is NotRequired:
        return _schema(arguments[0])
    if origin in (Union, types.UnionType):
        return _either([_schema(argument) for argument in arguments])
    if origin is Literal:
        return {"type": "string", "enum": list(arguments)}
    if origin is list:
        return {"type": "array", "items": _schema(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(arguments[1])}
    return _SIMPLE[type_]


def _annotated(schema: Schema, said: Iterable[Any]) -> Schema:
    for one in said:
        schema = schema | ({"description": one} if isinstance(one, str) else one)
    return schema


def _either(schemas: list[Schema]) -> Schema:
    """One of these; in the short form where they differ in nothing but the type."""
    first, *others = schemas
    if "$ref" not in first and "enum" not in first and all(other.keys() == {"type"} for other in others):
        return first | {"type": [first["type"], *(other["type"] for other in others)]}
    return {"anyOf": schemas}
