"""The served OpenAPI document as tests walk it: every operation, and every place where a client says something."""

import copy
import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from flask import Flask

# What isn't called as what stands before its id.
_ELSE_CALLED = {"{message_batch_id}": "message_batches"}
METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `places` are `?limit` in the query, `header Prefer`, `json input.prompt`, `form file`."""

    method: str
    path: str
    places: tuple[str, ...]
    example: Any
    statuses: frozenset[int]
    open: bool

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def nouns(self) -> list[str]:
        """What the ids in the path are of: `jobs` for `/v1/jobs/{job_id}`."""
        parts = self.path.split("/")
        pairs = itertools.pairwise(parts)
        named = [(before, part) for before, part in pairs if part.startswith("{") and not before.startswith("{")]
        return [_ELSE_CALLED.get(part, before) for before, part in named]

    def noun(self, common: Collection[str] = ()) -> str:
        """What its ids are of, those that stand in each other with a slash: `conversations/items`."""
        return "/".join(noun for noun in self.nouns if noun not in common)

    def url(self, *ids: str) -> str:
        """The path with these ids in the places of its parameters; several in one text with slashes between."""
        left = iter("/".join(ids).split("/"))
        return "/".join(next(left) if part.startswith("{") else part for part in self.path.split("/"))


def served(app: Flask) -> list[Operation]:
    """All operations of the app's page."""
    page = dict(app.test_client().get("/openapi.json").json or {})
    return [
        _operation(page, method, path, item)
        for path, item in page["paths"].items()
        for method in METHODS
        if method in item
    ]


def request(operation: Operation, place: str, value: str, base: Any = None) -> tuple[str, dict[str, Any]]:
    """The address and the options of a request that says `value` in the place, and what `base` or the example has."""
    kind, _, name = place.partition(" ")
    url = operation.path
    if place.startswith("?"):
        return url, {"query_string": {place[1:]: value}}
    if kind == "header":
        return url, {"headers": {name: value}, "json": operation.example}
    body = copy.deepcopy(base or operation.example)
    *parents, last = name.split(".")
    inner = body
    for parent in parents:
        inner = inner[parent]
    inner[last] = value
    return url, {"data" if kind == "form" else "json": body}


def _operation(page: dict[str, Any], method: str, path: str, item: dict[str, Any]) -> Operation:
    spec = item[method]
    content = spec.get("requestBody", {}).get("content", {})
    return Operation(
        method=method.upper(),
        path=path,
        places=tuple(dict.fromkeys([*_parameters(item, spec), *_fields(page, content)])),
        example=content.get("application/json", {}).get("example"),
        statuses=frozenset(int(status) for status in spec["responses"]),
        open=spec.get("security") == [],
    )


def _parameters(item: dict[str, Any], spec: dict[str, Any]) -> Iterator[str]:
    for parameter in [*item.get("parameters", []), *spec.get("parameters", [])]:
        if parameter["in"] != "path":
            yield f"?{parameter['name']}" if parameter["in"] == "query" else f"{parameter['in']} {parameter['name']}"


def _fields(page: dict[str, Any], content: dict[str, Any]) -> Iterator[str]:
    for media_type, body in content.items():
        kind = "form" if media_type == "multipart/form-data" else "json"
        for path in leaves(page, body["schema"], ()):
            yield f"{kind} {'.'.join(path)}"


def leaves(page: dict[str, Any], schema: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The paths of all fields that hold no other named fields."""
    if "$ref" in schema:
        schema = page["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    variants = [one for word in ("oneOf", "anyOf", "allOf") for one in schema.get(word, [])]
    inner = [leaf for one in variants for leaf in leaves(page, one, path) if leaf != path]
    inner += [leaf for leaf in leaves(page, schema["items"], path) if leaf != path] if "items" in schema else []
    for name, member in schema.get("properties", {}).items():
        inner += leaves(page, member, (*path, name))
    yield from inner or [path]
