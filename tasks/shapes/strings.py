"""Strings: of lengths, patterns and formats."""

from tasks import errors
from tasks.shapes import formats, regex, regular
from tasks.shapes.building import Building, Schema, count
from tasks.shapes.grammar import NEVER, Grammar, Node, repeat, sequence
from tasks.shapes.json_text import CHARACTER, QUOTE, STRING

MAX_COUNTED = 100_000  # what a repetition is counted to; a grammar of more would take too many rules


def node(building: Building, schema: Schema, path: str) -> Node:
    """The strings that the schema allows, in their quotes. Raises `SchemaRefused`."""
    least, most = count(schema, "minLength", path) or 0, count(schema, "maxLength", path)
    if least > MAX_COUNTED:
        raise errors.SchemaRefused(f"{path}.minLength", f"must be at most {MAX_COUNTED}")
    if most is not None and most > MAX_COUNTED:
        most, building.exact = None, False
    if most is not None and most < least:
        return NEVER
    expressions = _expressions(building, schema, path)
    if not expressions:
        if (least, most) == (0, None):
            return STRING
        return sequence(QUOTE, repeat(CHARACTER, least, most), QUOTE)
    key = repr(("string", [pattern for _, pattern in expressions], least, most))
    inner = building.include(key, lambda: _matching(building, expressions, least, most, building.name()))
    return sequence(QUOTE, inner, QUOTE)


def _expressions(building: Building, schema: Schema, path: str) -> list[tuple[str, str]]:
    """Where an expression stands, and the expression: of patterns, and of formats that are known."""
    patterns, known = schema.get("pattern", []), schema.get("format", [])
    found = [(f"{path}.pattern", one) for one in (patterns if isinstance(patterns, list) else [patterns])]
    for name in known if isinstance(known, list) else [known]:
        if isinstance(name, str) and name in formats.PATTERNS:
            found.append((f"{path}.format", formats.PATTERNS[name]))
    for place, pattern in found:
        if not isinstance(pattern, str):
            raise errors.SchemaRefused(place, "must be a string")
        building.spend(place, 1 + len(pattern) // 10)
    return found


def _matching(
    building: Building, expressions: list[tuple[str, str]], least: int, most: int | None, name: str
) -> Grammar:
    nodes = []
    for place, pattern in expressions:
        try:
            strings = regex.strings(pattern)
        except regex.Unreadable as error:
            raise errors.SchemaRefused(place, f"the pattern can't be honoured: {error}") from error
        building.exact &= strings.exact
        nodes.append(strings.node)
    place = expressions[0][0]
    if len(nodes) == 1 and _fits(regular.lengths(nodes[0]), least, most):
        return _one(nodes[0], name, place)
    try:
        return _bounded(building, regular.intersection([*nodes, repeat(regex.ANY, least, most)], name), place)
    except regular.TooManyStates:
        building.exact = False  # the first is followed; the check knows all
        return _bounded(building, _one(nodes[0], name, place), place)


def _fits(lengths: tuple[int, int | None], least: int, most: int | None) -> bool:
    """Whether strings of these lengths are within the bounds anyway."""
    return lengths[0] >= least and (most is None or (lengths[1] is not None and lengths[1] <= most))


def _one(node: Node, name: str, path: str) -> Grammar:
    if regular.decided(node):
        return Grammar(regular.in_json(node))
    try:
        return regular.intersection([node], name)
    except regular.TooManyStates as error:
        message = f"the pattern needs more than {regular.MAX_STATES} states to be followed"
        raise errors.SchemaRefused(path, message) from error


def _bounded(building: Building, made: Grammar, path: str) -> Grammar:
    building.spend(path, len(made.rules))
    return made
