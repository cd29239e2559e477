"""How much of OpenAI's API is on our page: its OpenAPI document against ours, property by property, area by area.

    python -m benchmarks.coverage_openai [--document FILE] [--missing] [--json]

As OGX publishes it (docs/static/openai-coverage.json of that project): over all properties of the requests and the
answers of the operations that are served, recursively, the share that is there and alike. A property of a request is
alike where all that OpenAI takes is taken, one of an answer where nothing is answered that OpenAI doesn't answer. A
property that stands in several variants of a union counts once. Beside it: of how many a test shows an effect, which
tests/webapi/openai/effects.toml lists; a refusal by name is one.
"""

import argparse
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.members import Document, Values
from tasks.settings import Settings as Shared
from tests import tables
from webapi.app import create_app
from webapi.settings import Settings

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT.parent / "shared" / "openai-openapi" / "openapi.json"
EFFECTS = ROOT / "tests" / "webapi" / "openai" / "effects.toml"
PREFIX = "/v1"
_METHODS = ("get", "post", "delete")

# OGX's, April 2026.
OGX: Mapping[str, float | None] = {
    "Chat": 98.5,
    "Completions": 58.7,
    "Embeddings": 78.6,
    "Models": 93.3,
    "Moderations": 17.0,
    "Files": 76.2,
    "Uploads": None,
    "Responses": 88.9,
    "Conversations": 98.9,
    "Batch": 39.9,
    "Vector stores": 82.9,
}
# Operations to which OpenAI's document gives no area.
UNTAGGED = {"/responses/input_tokens": "Responses", "/responses/compact": "Responses"}


@dataclass(frozen=True, slots=True)
class Member:
    """A property of OpenAI's, and what is wrong with ours: None where it is alike, else `missing` or how it differs."""

    operation: str
    room: str
    path: str
    wrong: str | None
    effect: bool

    def __str__(self) -> str:
        return f"{self.operation} {self.room} {self.path}"


@dataclass(frozen=True, slots=True)
class Area:
    """What is found of an area: OpenAI's properties of what is served, and the operations that aren't."""

    name: str
    members: tuple[Member, ...]
    unserved: tuple[str, ...]

    @property
    def alike(self) -> int:
        return sum(member.wrong is None for member in self.members)

    @property
    def effects(self) -> int:
        return sum(member.effect for member in self.members)

    @property
    def score(self) -> float:
        return 100 * self.alike / len(self.members) if self.members else 0.0


def page() -> Mapping[str, Any]:
    """Our OpenAPI document, made by the application itself, which connects to nothing for it."""
    catalog = ROOT / "models" / "catalog.toml"
    shared = Shared("postgresql://nowhere/", "redis://nowhere", "redis://nowhere", catalog, lease_s=10, stream_ttl_s=60)
    app = create_app(Settings(shared, key_pepper=tables.PEPPER, webhooks=tables.WEBHOOKS))
    return dict(app.test_client().get("/openapi.json").json or {})


def shown(file: Path) -> dict[str, str]:
    """The test that shows the effect of a property, by `operation room path`."""
    found = {}
    for effect in tomllib.loads(file.read_text())["shown"]:
        for where in effect["in"]:
            operation, room, before = re.fullmatch(r"(\S+ \S+) (\S+) ?(\S*)", where).groups()  # type: ignore[union-attr]
            found |= {f"{operation} {room} {before}{member}": effect["by"] for member in effect["members"]}
    return found


def areas(theirs: Document, ours: Document, effects: Mapping[str, str]) -> list[Area]:
    """Each area of OpenAI's that is compared. `effects` as `shown` gives them."""
    return [_area(name, theirs, ours, effects) for name in OGX]


def _area(name: str, theirs: Document, ours: Document, effects: Mapping[str, str]) -> Area:
    members: list[Member] = []
    unserved = []
    for method, path in _operations(theirs, name):
        operation = f"{method.upper()} {PREFIX}{path}"
        if ours.operation(method, path) is None:
            unserved.append(operation)
            continue
        wanted, given = theirs.members(method, path), ours.members(method, path)
        for room, properties in wanted.items():
            members += (
                Member(
                    operation,
                    room,
                    at,
                    _wrong(room, values, given[room].get(at)),
                    f"{operation} {room} {at}" in effects,
                )
                for at, values in properties.items()
            )
    return Area(name, tuple(members), tuple(unserved))


def _operations(document: Document, area: str) -> Iterator[tuple[str, str]]:
    """Without those of a path with a query: what is tried there comes and goes."""
    for path, item in document.content["paths"].items():
        for method in _METHODS:
            found = item.get(method, {}).get("tags", [UNTAGGED.get(path)])[0]
            if found == area and "?" not in path:
                yield method, path


def _wrong(room: str, theirs: Values, ours: Values | None) -> str | None:
    if ours is None:
        return "missing"
    narrow, wide = (theirs, ours) if room in ("query", "request") else (ours, theirs)
    types = sorted(narrow.types - wide.types)
    if types:
        return f"{'not taken' if narrow is theirs else 'answered'}: {', '.join(types)}"
    if wide.enum is None or "string" not in narrow.types:
        return None
    values = ["any text"] if narrow.enum is None else sorted(narrow.enum - wide.enum)
    return f"{'not taken' if narrow is theirs else 'answered'}: {', '.join(values)}" if values else None


def main() -> None:
    parser = argparse.ArgumentParser(description="OpenAI's document against our page")
    parser.add_argument("--document", type=Path, default=DOCUMENT, help="OpenAI's OpenAPI document, as JSON")
    parser.add_argument("--missing", action="store_true", help="list what is missing, and what differs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    found = areas(Document(json.loads(given.document.read_text())), Document(page(), PREFIX), shown(EFFECTS))
    print(json.dumps(_as_json(found), indent=2) if given.json else "\n".join(_lines(found, given.missing)))


def _lines(found: list[Area], missing: bool) -> Iterator[str]:
    yield "| area | alike | of | score | OGX | with an effect that a test shows | not served |"
    yield "|---|---|---|---|---|---|---|"
    for area in found:
        unserved = ", ".join(area.unserved) or "nothing"
        shares = f"{area.alike} | {len(area.members)} | {area.score:.1f} | {OGX[area.name]}"
        yield f"| {area.name} | {shares} | {area.effects} | {unserved} |"
    if missing:
        for member in (member for area in found for member in area.members):
            if member.wrong or not member.effect:
                yield f"{member}: {member.wrong or 'no effect is shown'}"


def _as_json(found: list[Area]) -> dict[str, Any]:
    return {
        area.name: {
            "score": round(area.score, 1),
            "properties": len(area.members),
            "effects": area.effects,
            "ogx": OGX[area.name],
            "not_served": list(area.unserved),
            "wrong": {str(member): member.wrong for member in area.members if member.wrong},
        }
        for area in found
    }


if __name__ == "__main__":
    main()
