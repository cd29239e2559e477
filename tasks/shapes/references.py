"""What `$ref` points at: another place of the same document, by JSON pointer (RFC 6901)."""

from collections.abc import Iterator
from typing import Any
from urllib import parse

from tasks import errors

_SAME_VALUE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else")  # what holds of the value that the schema is of


def resolved(document: Any, reference: Any, path: str) -> Any:
    """The schema that it points at. Raises `SchemaRefused` when there is none, or it is elsewhere."""
    if not isinstance(reference, str):
        raise errors.SchemaRefused(f"{path}.$ref", "must be a string")
    if not reference.startswith("#"):
        raise errors.SchemaRefused(f"{path}.$ref", "must point into the same schema, as #/$defs/name does")
    pointer = parse.unquote(reference[1:])
    if pointer and not pointer.startswith("/"):
        raise errors.SchemaRefused(f"{path}.$ref", "anchors aren't supported; use #/$defs/name")
    found = document
    for token in pointer.split("/")[1:]:
        found = _inside(found, token.replace("~1", "/").replace("~0", "~"))
        if found is None:
            raise errors.SchemaRefused(f"{path}.$ref", f"there is nothing at {reference[:200]}")
    return found


def place(root: str, reference: str) -> str:
    """The path of what a reference points at, as errors name it."""
    return ".".join([root, *parse.unquote(reference[1:]).split("/")[1:]])


def _inside(found: Any, token: str) -> Any:
    if isinstance(found, dict):
        return found.get(token)
    if isinstance(found, list) and token.isascii() and token.isdigit() and len(token) < 8 and int(token) < len(found):
        return found[int(token)]
    return None


def refuse_circles(document: Any, path: str) -> None:
    """Raises `SchemaRefused` for a reference that leads back to itself before anything of a value has been looked at.

    The check wouldn't come to an end with it, and a rule of the grammar would begin with itself.
    """
    done: set[int] = set()
    for start in _schemas(document):
        above: dict[int, None] = {}
        waiting: list[tuple[Any, str, bool]] = [(start, path, False)]
        while waiting:
            schema, here, left = waiting.pop()
            if left:
                done.add(above.popitem()[0])
            elif id(schema) in above:
                raise errors.SchemaRefused(here, "it refers to itself without end")
            elif id(schema) not in done:
                above[id(schema)] = None
                waiting.append((schema, here, True))
                waiting += [(inner, there, False) for inner, there in _of_the_same(document, schema, here, path)]


def _schemas(document: Any) -> Iterator[Any]:
    """All objects in the document, schemas or not."""
    waiting = [document]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _of_the_same(document: Any, schema: Any, here: str, root: str) -> Iterator[tuple[Any, str]]:
    """The schemas of which this one says that the same value satisfies them, or doesn't, and where they are."""
    if not isinstance(schema, dict):
        return
    for key in _SAME_VALUE:
        inner = schema.get(key)
        for one in inner if isinstance(inner, list) else [inner]:
            if isinstance(one, dict):
                yield one, here
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        try:
            yield resolved(document, reference, here), place(root, reference)
        except errors.SchemaRefused:  # it is told, by its place, where it is followed
            return
