"""Schemas that nothing satisfies, that ask for too much, or for what can't be honoured."""

from typing import Any

import pytest

from tasks import errors
from tasks.shapes import following, schema


@pytest.mark.parametrize(
    ("told", "path", "message"),
    [
        ({"$ref": "#"}, "s", "refers to itself"),
        (
            {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
            "s.$defs.a",
            "refers",
        ),
        ({"anyOf": [{"$ref": "#"}, {"type": "null"}]}, "s", "refers to itself"),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "s", "no value"),
        (False, "s", "no value"),
        ({"type": "array", "items": False, "minItems": 1}, "s", "no value"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "s", "no value"),
        ({"allOf": [{"type": "string"}, {"type": "null"}]}, "s", "no value"),
        ({"enum": []}, "s", "no value"),
        ({"properties": {"a": {"items": {"$ref": "http://x/y"}}}}, "s.properties.a.items.$ref", "same schema"),
        ({"$ref": "#/$defs/no"}, "s.$ref", "nothing at"),
        ({"$ref": "#name"}, "s.$ref", "anchors"),
        ({"$dynamicRef": "#x"}, "s.$dynamicRef", "isn't supported"),
        ({"type": "string", "pattern": "("}, "s.pattern", "isn't closed"),
        ({"type": "string", "pattern": "(a|b)*a(a|b){20}"}, "s.pattern", "states"),
        ({"type": "array", "minItems": 10**9}, "s.minItems", "at most"),
        ({"enum": list(range(10_001))}, "s", "10000 values"),
        ({"enum": ["x" * 300_000]}, "s", "256 KiB"),
        ({"properties": {"a": 3}}, "s.properties.a", "must be an object"),
        ({"type": "strange"}, "s.type", "no type"),
        ({"allOf": [{"anyOf": [{"required": [f"{i}{j}"]} for j in range(10)]} for i in range(9)]}, "s", "pairs"),
    ],
)
def test_what_cant_be_honoured_is_refused_by_its_place(told: Any, path: str, message: str) -> None:
    """The error names it as the client wrote it."""
    with pytest.raises(errors.SchemaRefused, match=message) as refused:
        schema.compile(told, "s")
    assert refused.value.path == path


def test_depth_is_bounded() -> None:
    """What is nested deeper than anybody writes."""
    told: Any = {"type": "null"}
    for _ in range(70):
        told = {"type": "array", "items": told}
    with pytest.raises(errors.SchemaRefused, match="nested deeper"):
        schema.compile(told)


@pytest.mark.parametrize("kind", ["properties", "allOf", "anyOf"])
def test_schemas_that_double_at_each_step_stay_small(kind: str) -> None:
    """A hundred definitions, of which each names the next twice."""

    def step(at: int) -> Any:
        inner = {"$ref": f"#/$defs/l{at + 1}"}
        return {"properties": {"a": inner, "b": inner}} if kind == "properties" else {kind: [inner, dict(inner)]}

    told = {"$defs": {**{f"l{at}": step(at) for at in range(100)}, "l100": {"type": "string"}}, "$ref": "#/$defs/l0"}
    assert len(schema.compile(told).grammar.rules) < 500


def test_merges_that_meet_themselves_end() -> None:
    """`allOf` of recursive schemas, in whichever order they meet."""
    told = {
        "$defs": {
            "a": {"type": "object", "properties": {"x": {"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]}}},
            "b": {"type": "object", "properties": {"x": {"allOf": [{"$ref": "#/$defs/b"}, {"$ref": "#/$defs/a"}]}}},
        },
        "allOf": [{"$ref": "#/$defs/b"}, {"$ref": "#/$defs/a"}],
    }
    grammar = schema.compile(told).grammar
    assert following.accepts(grammar, '{"x":{"x":{"x":{}}}}')
    assert not following.accepts(grammar, '{"x":1}')
