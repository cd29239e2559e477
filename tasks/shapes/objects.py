"""Objects: named properties in their order, then others where there may be any."""

from dataclasses import dataclass, replace

from tasks import errors
from tasks.shapes import json_text
from tasks.shapes.building import Building, Inner, Schema, count, listed, table
from tasks.shapes.grammar import EMPTY, NEVER, Node, choice, literal, optional, repeat, sequence
from tasks.shapes.json_text import COLON, COMMA, STRING
from tasks.shapes.strings import MAX_COUNTED

_APART = 40  # names to choose from; each choice has all those after it as well


@dataclass(frozen=True, slots=True)
class _Member:
    name: str  # as it stands in JSON
    value: Node
    required: bool


def node(building: Building, schema: Schema, path: str, inner: Inner) -> Node:
    """The objects that the schema allows. Raises `SchemaRefused`.

    Properties come in the order in which the schema names them; then those that `required` adds. Others are allowed
    only where `additionalProperties` is true or a schema, or `patternProperties` has them. A schema that names none
    and says nothing of others allows any.
    """
    members = _members(schema, path, inner)
    if any(member.required and member.value == NEVER for member in members):
        return NEVER
    members = [member for member in members if member.value != NEVER]
    other = _other(building, schema, path, inner)
    bounds = _bounds(building, schema, path, len(members), sum(member.required for member in members))
    if bounds is None:
        return NEVER
    return sequence(literal("{"), _inside(building, members, other, bounds), literal("}"))


def _members(schema: Schema, path: str, inner: Inner) -> list[_Member]:
    properties, required = table(schema, "properties", path), listed(schema, "required", path)
    if not all(isinstance(name, str) for name in required):
        raise errors.SchemaRefused(f"{path}.required", "must be an array of strings")
    wanted = set(required)
    others = schema.get("additionalProperties", schema.get("unevaluatedProperties") is not False)
    named = {name: (one, f"{path}.properties.{name}") for name, one in properties.items()}
    added = {name: (others, f"{path}.additionalProperties") for name in required if name not in properties}
    return [
        _Member(json_text.string(name).text, inner(one, place), name in wanted)
        for name, (one, place) in {**named, **added}.items()
    ]


def _other(building: Building, schema: Schema, path: str, inner: Inner) -> Node:
    """A member with a name that isn't among the properties; `NEVER` when there is none."""
    names = [*table(schema, "properties", path), *listed(schema, "required", path)]
    patterns, value = table(schema, "patternProperties", path), schema.get("additionalProperties")
    if value is None:
        value = not names and not patterns and "unevaluatedProperties" not in schema
    building.exact &= "propertyNames" not in schema or not (names or patterns)
    arms = []
    for pattern, one in patterns.items():
        key = inner({"type": "string", "pattern": pattern}, f"{path}.patternProperties")
        arms.append(sequence(key, COLON, inner(one, f"{path}.patternProperties.{pattern}")))
    if value is not False:
        arms.append(
            sequence(_key(building, schema, names, path, inner), COLON, inner(value, f"{path}.additionalProperties"))
        )
    if patterns and (names or len(arms) > 1):
        building.exact = False  # one name may fall under several
    return choice(*(arm for arm in arms if arm != NEVER))


def _key(building: Building, schema: Schema, names: list[str], path: str, inner: Inner) -> Node:
    rule = schema.get("propertyNames", True)
    if rule is not True:
        return inner({"allOf": [{"type": "string"}, rule]}, f"{path}.propertyNames")
    if not names:
        return STRING
    building.spend(path, sum(map(len, names)) // 10)
    return building.include(
        repr(("key", sorted(set(names)))), lambda: json_text.key_other_than(names, building.name() + "-key")
    )


@dataclass(frozen=True, slots=True)
class _Bounds:
    """How many members an object may have."""

    least: int
    most: int | None


def _bounds(building: Building, schema: Schema, path: str, named: int, required: int) -> _Bounds | None:
    """The bounds that the grammar can count, which are those of objects without named members; None: no object fits."""
    least, most = count(schema, "minProperties", path) or 0, count(schema, "maxProperties", path)
    if least > MAX_COUNTED:
        raise errors.SchemaRefused(f"{path}.minProperties", f"must be at most {MAX_COUNTED}")
    if most is not None and (most < least or most < required):
        return None
    if named or (most or 0) > MAX_COUNTED:
        building.exact &= least <= required and (most is None or (most >= named > 0 and _closed(schema)))
        return _Bounds(0, None)
    building.exact &= least <= 1  # one name may come twice
    return _Bounds(least, most)


def _closed(schema: Schema) -> bool:
    return not schema.get("additionalProperties") and not schema.get("patternProperties")


def _inside(building: Building, members: list[_Member], other: Node, bounds: _Bounds) -> Node:
    """What stands between the braces."""
    if not members:
        most = None if bounds.most is None else bounds.most - 1
        if other == NEVER or bounds.most == 0:
            return NEVER if bounds.least else EMPTY
        one = building.rule(other)
        some = sequence(one, repeat(sequence(COMMA, one), max(0, bounds.least - 1), most))
        return some if bounds.least else optional(some)
    first = next((at for at, member in enumerate(members) if not member.required), len(members))
    if first < len(members):  # then what follows is reached in several ways
        members = [replace(member, value=building.rule(member.value)) for member in members]
        other = other if other == NEVER else building.rule(other)
    after = _after(building, members, first, other)
    if not first:
        begun = EMPTY if other == NEVER else optional(sequence(other, repeat(sequence(COMMA, other))))
        return _next(members, 0, EMPTY, after, begun)
    parts: list[Node] = []
    for member in members[:first]:
        parts += [COMMA] if parts else []
        parts += [literal(member.name), COLON, member.value]
    return sequence(*parts, after[first])


def _after(building: Building, members: list[_Member], first: int, other: Node) -> dict[int, Node]:
    """What may stand before each member, from the first optional one on, after others; and after the last."""
    others = EMPTY if other == NEVER else repeat(sequence(COMMA, other))
    after: dict[int, Node] = {len(members): building.rule(others) if others != EMPTY else EMPTY}
    for at in range(len(members) - 1, first - 1, -1):
        after[at] = building.rule(_next(members, at, COMMA, after, after[len(members)]))
    return after


def _next(members: list[_Member], at: int, lead: Node, after: dict[int, Node], end: Node) -> Node:
    """One of the members up to the first required one, or, if there is none, the end.

    Names are told apart letter by letter where there are few: else the sampler has as many ways to follow as names.
    """
    last = next((place for place in range(at, len(members)) if members[place].required), None)
    places = {members[place].name: place for place in range(at, len(members) if last is None else last + 1)}

    def then(name: str) -> Node:
        return sequence(COLON, members[places[name]].value, after[places[name] + 1])

    if len(places) > _APART and lead != EMPTY:
        member = sequence(lead, literal(members[at].name), COLON, members[at].value)
        return sequence(optional(member), after[at + 1])
    here = sequence(lead, json_text.one_of(places, then))
    return here if last is not None else choice(here, end)
