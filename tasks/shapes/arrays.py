"""Arrays: of first items, further ones, and how many."""

from typing import Any

from tasks import errors
from tasks.shapes import merging
from tasks.shapes.building import Building, Inner, Schema, count
from tasks.shapes.grammar import EMPTY, NEVER, Node, choice, literal, optional, repeat, sequence
from tasks.shapes.json_text import COMMA
from tasks.shapes.strings import MAX_COUNTED


def node(building: Building, schema: Schema, path: str, inner: Inner) -> Node:
    """The arrays that the schema allows. Raises `SchemaRefused`.

    After first items (`prefixItems`) come no others, unless `items` says of what kind or `minItems` asks for more.
    """
    least, most = count(schema, "minItems", path) or 0, count(schema, "maxItems", path)
    if least > MAX_COUNTED:
        raise errors.SchemaRefused(f"{path}.minItems", f"must be at most {MAX_COUNTED}")
    if most is not None and most > MAX_COUNTED:
        most, building.exact = None, False
    prefix, further = merging.tuples(schema, path)
    if most is not None and most < least:
        return NEVER
    first = [inner(one, f"{path}.prefixItems.{at}") for at, one in enumerate(prefix[:most])]
    item = _further(prefix, further, least, path, inner)
    return sequence(literal("["), _items(building, first, item, least, most), literal("]"))


def _further(prefix: list[Any], further: Any, least: int, path: str, inner: Inner) -> Node:
    if further is None:
        further = not prefix or least > len(prefix)
    return NEVER if further is False else inner(further, f"{path}.items")


def _items(building: Building, first: list[Node], item: Node, least: int, most: int | None) -> Node:
    """What stands between the brackets."""
    if not first:
        return _list(building, item, least, most)
    after = max(0, least - len(first))
    more = repeat(sequence(COMMA, item), after, None if most is None else most - len(first))
    for at in range(len(first) - 1, 0, -1):
        here = sequence(COMMA, first[at], more)
        more = here if at < least else optional(here)
    here = sequence(first[0], more)
    return here if least else optional(here)


def _list(building: Building, item: Node, least: int, most: int | None) -> Node:
    if most == 0:
        return EMPTY
    item = building.rule(item)
    some = sequence(item, repeat(sequence(COMMA, item), max(0, least - 1), None if most is None else most - 1))
    return some if least else choice(some, EMPTY)
