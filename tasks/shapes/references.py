"""What `$ref` points at: another place of the same document, by JSON pointer (RFC 6901)."""

from typing import Any
from urllib import parse

from tasks import errors


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
