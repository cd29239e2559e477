"""One schema out of several that must all hold: `allOf`, and what stands beside `$ref` and `anyOf`."""

from typing import Any

from tasks import errors
from tasks.shapes import references
from tasks.shapes.building import Building, Schema, asserting, canonical, listed, table

_GREATER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_SMALLER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_MAX_PAIRS = 1_000
_OWN = ("properties", "additionalProperties", "items", "prefixItems", "additionalItems", "anyOf", "oneOf", "type")


def needed(schema: Schema) -> bool:
    """Whether the schema says in several places what must hold at once."""
    return "allOf" in schema or ("$ref" in schema and len(asserting(schema)) > 1)


def both(*schemas: Any) -> Any:
    """The schema of all of them; of equal ones once, of `true` none, so that what is merged again stays what it is."""
    found: dict[str, Any] = {}
    for schema in schemas:
        parts = schema["allOf"] if isinstance(schema, dict) and schema.keys() == {"allOf"} else [schema]
        for part in parts:
            if part is not True and part != {}:
                found[canonical(part)] = part
    if len(found) <= 1:
        return next(iter(found.values()), True)
    return {"allOf": list(found.values())}


def merged(building: Building, document: Any, schema: Schema, path: str) -> Schema | bool:
    """The schema with `$ref` followed and `allOf` opened at its outermost level; False when no value can satisfy it.

    Raises `SchemaRefused`.
    """
    conjuncts: list[Schema] = []
    if not _gather(building, document, schema, path, conjuncts, set()):
        return False
    made = conjuncts[0] if conjuncts else {}
    for conjunct in conjuncts[1:]:
        building.spend(path, 1 + len(conjunct))
        made = _of_two(building, made, conjunct, path)
        if made.get("type") == []:
            return False
    return made


def _gather(building: Building, document: Any, schema: Any, path: str, found: list[Schema], seen: set[str]) -> bool:
    """Adds the schemas that must hold to `found`, without their references; False when one of them is `false`."""
    waiting = [(schema, path)]
    while waiting:
        schema, here = waiting.pop()
        if isinstance(schema, bool):
            if not schema:
                return False
            continue
        if not isinstance(schema, dict):
            raise errors.SchemaRefused(here, "must be an object or a boolean")
        building.spend(here)
        more: list[tuple[Any, str]] = []
        if "$ref" in schema:
            target = references.resolved(document, schema["$ref"], here)
            if schema["$ref"] not in seen:
                seen.add(schema["$ref"])
                more = [(target, references.place(building.path, schema["$ref"]))]
        more += [(part, f"{here}.allOf.{at}") for at, part in enumerate(listed(schema, "allOf", here))]
        waiting += reversed(more)
        own = _own(schema, here)
        if own:
            found.append(own)
    return True


def _own(schema: Schema, path: str) -> Schema:
    """What the schema says itself, with `const` as an `enum`, and null among the types where it is `nullable`."""
    own = {key: value for key, value in asserting(schema).items() if key not in ("$ref", "allOf", "nullable", "const")}
    if "enum" in own:
        own["enum"] = given(schema, path)
    if "const" in schema:
        only = canonical(schema["const"])
        own["enum"] = [value for value in own.get("enum", [schema["const"]]) if canonical(value) == only]
    if "type" in own:
        own["type"] = types(schema, path)
    return own


def given(schema: Schema, path: str) -> list[Any]:
    """The values that `enum` gives, null among them where it is `nullable`."""
    values = listed(schema, "enum", path)
    return [*values, None] if schema.get("nullable") is True and None not in values else values


def _of_two(building: Building, one: Schema, other: Schema, path: str) -> Schema:
    made = dict(one)
    for key, value in other.items():
        if key in _OWN:
            continue
        made[key] = _joined(building, key, one[key], value, path) if key in one else value
    for part in (_types, _objects, _arrays, _alternatives):
        made.update(part(one, other, path))
    if any(key in schema for schema in (one, other) for key in ("oneOf", "unevaluatedProperties")):
        building.exact = False
    return {key: value for key, value in made.items() if key not in _OWN or value is not None}


def _joined(building: Building, key: str, one: Any, other: Any, path: str) -> Any:
    """What both say under the same keyword."""
    if one == other:
        return one
    if key in _GREATER or key in _SMALLER:
        if not (isinstance(one, int | float) and isinstance(other, int | float)):
            raise errors.SchemaRefused(f"{path}.{key}", "must be a number")
        return max(one, other) if key in _GREATER else min(one, other)
    if key == "required":
        return list(dict.fromkeys([*_list(one, key, path), *_list(other, key, path)]))
    if key == "enum":
        wanted = {canonical(value) for value in _list(other, key, path)}
        return [value for value in _list(one, key, path) if canonical(value) in wanted]
    if key in ("pattern", "format"):
        return [*(one if isinstance(one, list) else [one]), *(other if isinstance(other, list) else [other])]
    if key == "propertyNames":
        return both(one, other)
    building.exact = False  # the first is followed; the check knows both
    return one


def _list(value: Any, key: str, path: str) -> list[Any]:
    if isinstance(value, list):
        return value
    raise errors.SchemaRefused(f"{path}.{key}", "must be an array")


def types(schema: Schema, path: str) -> list[str] | None:
    """The types that the schema names, null among them where it is `nullable`; None when it names none."""
    told = schema.get("type")
    if told is None:
        return None
    names = [told] if isinstance(told, str) else told
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise errors.SchemaRefused(f"{path}.type", "must be the name of a type or an array of them")
    return [*names, "null"] if schema.get("nullable") is True and "null" not in names else names


def _types(one: Schema, other: Schema, path: str) -> Schema:
    ours, theirs = types(one, path), types(other, path)
    if ours is None or theirs is None:
        said = ours or theirs
        return {"type": said} if said is not None else {}
    common = [name for name in ours if name in theirs]
    integer = "integer" in {*ours, *theirs} - set(common) and "number" in {*ours, *theirs} - set(common)
    return {"type": [*common, "integer"] if integer else common}


def _objects(one: Schema, other: Schema, path: str) -> Schema:
    made: Schema = {}
    ours, theirs = table(one, "properties", path), table(other, "properties", path)
    names = [*ours, *(name for name in theirs if name not in ours)]
    if names:
        made["properties"] = {name: both(_property(one, ours, name), _property(other, theirs, name)) for name in names}
    if "additionalProperties" in one or "additionalProperties" in other:
        made["additionalProperties"] = _either_or_both(one, other, "additionalProperties")
    return made


def _property(schema: Schema, properties: dict[str, Any], name: str) -> Any:
    return properties[name] if name in properties else schema.get("additionalProperties", True)


def _either_or_both(one: Schema, other: Schema, key: str) -> Any:
    said = [schema[key] for schema in (one, other) if key in schema]
    return False if False in said else both(*said)


def _arrays(one: Schema, other: Schema, path: str) -> Schema:
    if not any(key in schema for schema in (one, other) for key in ("items", "prefixItems")):
        return {}
    (ours, our_rest), (theirs, their_rest) = tuples(one, path), tuples(other, path)
    made: Schema = {"prefixItems": [], "additionalItems": None}
    for at in range(max(len(ours), len(theirs))):
        pair = [prefix[at] if at < len(prefix) else rest for prefix, rest in ((ours, our_rest), (theirs, their_rest))]
        made["prefixItems"].append(both(*(True if part is None else part for part in pair)))
    rests = [rest for rest in (our_rest, their_rest) if rest is not None]
    if rests:
        made["items"] = False if False in rests else both(*rests)
    return made


def tuples(schema: Schema, path: str) -> tuple[list[Any], Any]:
    """The schemas of the first items, and that of all further ones (None when nothing is said); of old drafts too."""
    items = schema.get("items")
    if isinstance(items, list):
        return items, schema.get("additionalItems")
    return listed(schema, "prefixItems", path), items


def _alternatives(one: Schema, other: Schema, path: str) -> Schema:
    """One `anyOf` of all pairs, or what only one of them has."""
    made: Schema = {}
    options = [_options(schema, key, path) for schema in (one, other) for key in ("anyOf", "oneOf") if key in schema]
    if not options:
        return made
    paired = options[0]
    for more in options[1:]:
        if len(paired) * len(more) > _MAX_PAIRS:
            raise errors.SchemaRefused(path, f"alternatives beside alternatives come to more than {_MAX_PAIRS} pairs")
        paired = [both(first, second) for first in paired for second in more]
    return {"anyOf": paired, "oneOf": None}


def _options(schema: Schema, key: str, path: str) -> list[Any]:
    value = schema[key]
    return [True] if value is None else listed(schema, key, path)
