"""Schemas as people and libraries write them, and which answers they allow."""

import json
from typing import Any

import pytest

from tasks.shapes import check, following, json_text, schema

# What pydantic 2 makes of two models with an enum, a union told apart by `kind`, optional values and constraints.
PYDANTIC: dict[str, Any] = {
    "$defs": {
        "Cat": {
            "properties": {
                "kind": {"const": "cat", "title": "Kind", "type": "string"},
                "lives": {"default": 9, "maximum": 9, "minimum": 1, "title": "Lives", "type": "integer"},
            },
            "required": ["kind"],
            "title": "Cat",
            "type": "object",
        },
        "Dog": {
            "properties": {
                "kind": {"const": "dog", "title": "Kind", "type": "string"},
                "weight": {"exclusiveMinimum": 0, "title": "Weight", "type": "number"},
            },
            "required": ["kind", "weight"],
            "title": "Dog",
            "type": "object",
        },
        "Size": {"enum": ["small", "large"], "title": "Size", "type": "string"},
    },
    "properties": {
        "name": {"minLength": 1, "title": "Name", "type": "string"},
        "size": {"$ref": "#/$defs/Size", "description": "how large", "default": "small"},
        "pet": {
            "discriminator": {"mapping": {"cat": "#/$defs/Cat", "dog": "#/$defs/Dog"}, "propertyName": "kind"},
            "oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}],
            "title": "Pet",
        },
        "nick": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None, "title": "Nick"},
        "born": {"format": "date", "title": "Born", "type": "string"},
        "price": {
            "anyOf": [{"type": "number"}, {"pattern": r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$", "type": "string"}],
            "title": "Price",
        },
        "pair": {
            "maxItems": 2,
            "minItems": 2,
            "prefixItems": [{"type": "integer"}, {"type": "string"}],
            "title": "Pair",
            "type": "array",
        },
        "scores": {"additionalProperties": {"type": "integer"}, "title": "Scores", "type": "object"},
    },
    "required": ["name", "pet", "born"],
    "title": "Owner",
    "type": "object",
}

# OpenAI's example of a recursive schema, strict.
STEPS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "enum": ["div", "button"]},
        "label": {"type": "string"},
        "children": {"type": "array", "items": {"$ref": "#"}},
        "attributes": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "value": {"type": "string"}},
                "additionalProperties": False,
                "required": ["name", "value"],
            },
        },
    },
    "required": ["type", "label", "children", "attributes"],
    "additionalProperties": False,
}


def allowed(told: Any, *values: Any) -> list[bool]:
    """For each value, whether it may be answered, both spaced and compact."""
    grammar = schema.compile(told).grammar
    found = []
    for value in values:
        spaced = following.accepts(grammar, json.dumps(value, ensure_ascii=False))
        assert spaced == following.accepts(grammar, json.dumps(value, ensure_ascii=False, separators=(",", ":")))
        found.append(spaced)
    return found


def test_pydantics_schema() -> None:
    """References, a discriminated union, optional fields, tuples and maps."""
    whole = {
        "name": "Ann", "size": "large", "pet": {"kind": "dog", "weight": 3.5}, "nick": None, "born": "2020-02-29",
        "price": "12.50", "pair": [1, "a"], "scores": {"x": 1},
    }  # fmt: skip
    least = {"name": "A", "pet": {"kind": "cat"}, "born": "2020-01-01"}
    assert check.faults(PYDANTIC, whole) is None
    assert check.faults(PYDANTIC, least) is None
    assert allowed(PYDANTIC, whole, least) == [True, True]
    wrong = [
        {**least, "pet": {"kind": "cow"}}, {**least, "pet": {"kind": "cat", "lives": 10}}, {**least, "name": ""},
        {**least, "born": "2021-02-29"}, {**least, "pair": [1]}, {**least, "more": 1},
    ]  # fmt: skip
    assert allowed(PYDANTIC, *wrong) == [False] * len(wrong)
    assert not schema.compile(PYDANTIC).exact  # the decimal's look-ahead


def test_recursive_schema() -> None:
    """The whole schema inside of itself."""
    leaf = {"type": "button", "label": "é", "children": [], "attributes": [{"name": "a", "value": "b"}]}
    assert allowed(STEPS, leaf, {**leaf, "children": [leaf, {**leaf, "children": [leaf]}]}) == [True, True]
    assert allowed(STEPS, {**leaf, "children": [1]}) == [False]
    assert schema.compile(STEPS).exact


@pytest.mark.parametrize(
    ("told", "good", "bad"),
    [
        ({"type": ["string", "null"]}, ["a", None], [1]),
        ({"type": "integer", "nullable": True}, [1, None], ["a"]),
        ({"enum": ["a"], "nullable": True}, ["a", None], ["b"]),
        ({"const": {"a": [1, None]}}, [{"a": [1, None]}], [{"a": [1]}]),
        ({"enum": [1, "1", True, None, [], {}]}, [1, "1", True, None, [], {}], [2, "a", False]),
        ({"type": "string", "enum": ["a", 1]}, ["a"], [1]),
        ({}, [1, "a", None, [[]], {"a": {}}], []),
        (True, [1, "a"], []),
        ({"type": "object"}, [{}, {"a": [1]}], [[]]),
        ({"type": "object", "properties": {}, "additionalProperties": False}, [{}], [{"a": 1}]),
        ({"type": "object", "properties": {"a": {}}}, [{}, {"a": 1}], [{"b": 1}]),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": True}, [{"a": 1, "b": 2}, {"b": 2}], []),
        ({"type": "object", "required": ["a"]}, [{"a": 1}], [{}]),
        ({"properties": {"a": {"type": "null"}}}, [{}, {"a": None}], [{"a": 1}]),
        ({"items": {"type": "null"}}, [[], [None]], [[1], {}]),
        (
            {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "null"}},
            [[None], [None] * 2],
            [[], [None] * 3],
        ),
        ({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}]}, [[], [1], [1, 2]], [[2], [1, 2, 3]]),
        ({"type": "array", "prefixItems": [{"const": 1}], "items": {"const": 2}}, [[1, 2, 2]], [[1, 1]]),
        ({"type": "array", "prefixItems": [{"const": 1}], "minItems": 2}, [[1, "x"]], [[1]]),
        ({"type": "array", "items": False}, [[]], [[1]]),
        ({"type": "string", "minLength": 1, "maxLength": 2, "pattern": "^a*$"}, ["a", "aa"], ["", "aaa"]),
        ({"type": "string", "pattern": '^é"\\\\\n$'}, ['é"\\\n'], ["é"]),
        ({"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 3}, [2], [1, 3]),
        ({"type": "integer", "minimum": 1.5, "maximum": 3.5}, [2, 3], [1, 4]),
        ({"type": "number", "minimum": 0, "maximum": 1}, [0, 0.5, 1], [-0.5, 1.5, 2]),
        ({"type": ["integer", "number"]}, [1, 1.5], []),
        (
            {
                "allOf": [
                    {"type": "object", "properties": {"a": {"type": "integer"}}},
                    {"properties": {"a": {"minimum": 3}, "b": {}}, "required": ["b"]},
                ]
            },
            [{"a": 3, "b": 1}],
            [{"a": 2, "b": 1}, {"a": 3}],
        ),
        ({"allOf": [{"type": ["integer", "string"]}, {"type": ["number", "null"]}]}, [1], ["a", None, 1.5]),
        ({"allOf": [{"enum": [1, 2, 3]}, {"enum": [2, 3, 4]}, {"const": 3}]}, [3], [2, 1]),
        (
            {"allOf": [{"pattern": "a"}, {"pattern": "b"}, {"maxLength": 2}], "type": "string"},
            ["ab", "ba"],
            ["a", "bb", "abb"],
        ),
        (
            {"type": "object", "properties": {"a": {}, "b": {}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
            [{"a": 1}, {"b": 1}],
            [{}],
        ),
        ({"$defs": {"a/b~c": {"type": "null"}}, "$ref": "#/$defs/a~1b~0c"}, [None], [1]),
        ({"$defs": {"n": {"type": "integer"}}, "$ref": "#/$defs/n", "minimum": 5}, [5], [4]),
        (
            {"definitions": {"n": {"type": "integer"}}, "type": "array", "items": {"$ref": "#/definitions/n"}},
            [[1]],
            [["a"]],
        ),
        (
            {"type": "object", "patternProperties": {"^a": {"type": "integer"}}},
            [{}, {"ab": 1}],
            [{"b": 1}, {"ab": "x"}],
        ),
        (
            {"type": "object", "additionalProperties": {"type": "null"}, "propertyNames": {"enum": ["x", "y"]}},
            [{"x": None}],
            [{"z": None}],
        ),
        (
            {"type": "object", "additionalProperties": {"type": "null"}, "minProperties": 1, "maxProperties": 2},
            [{"x": None}],
            [{}, {"x": None, "y": None, "z": None}],
        ),
        ({"anyOf": [{"type": "string"}, False]}, ["a"], [1]),
        ({"title": "x", "x-unknown": {"$ref": 3}, "type": "null", "examples": [1]}, [None], [1]),
    ],
)
def test_values_that_a_schema_allows(told: Any, good: list[Any], bad: list[Any]) -> None:
    """Keyword by keyword."""
    assert allowed(told, *good) == [True] * len(good)
    assert allowed(told, *bad) == [False] * len(bad)
    assert [check.faults(told, value) for value in good] == [None] * len(good)


def test_additional_property_isnt_a_named_one() -> None:
    """Else it would be free of the named one's schema."""
    told = {"type": "object", "properties": {"ab": {"type": "null"}}, "additionalProperties": {"type": "integer"}}
    assert allowed(told, {"ab": 1}, {"a": 1}, {"abc": 1}, {"ab": None, "": 1}, {"b": 1}) == [
        False,
        True,
        True,
        True,
        True,
    ]
    assert not following.accepts(schema.compile(told).grammar, '{"\\u0061b":1}')


def test_what_is_no_json_or_spread_out_is_never_allowed() -> None:
    """Space without an end is where small models get lost."""
    grammar = json_text.any_value()
    for text in (
        " 1",
        "1 ",
        "[1,  2]",
        "[ 1]",
        '{"a" :1}',
        '"\n"',
        '"\\x"',
        '"\\ud800"',
        '"\\u0000"',
        "01",
        "1.",
        "nan",
        "1e999",
    ):
        assert not following.accepts(grammar, text), text
    for text in ('"\\ud83d\\ude00"', '"\\u00e9\\n"', "-0.5e-10", "1E+5", '{"a": [1, 2],"b":{}}'):
        assert following.accepts(grammar, text), text


@pytest.mark.parametrize(
    "told",
    [
        {"type": "array", "uniqueItems": True},
        {"type": "integer", "multipleOf": 3},
        {"not": {"type": "null"}},
        {"if": {"type": "null"}, "then": {"const": 1}},
        {"oneOf": [{"minimum": 1, "type": "integer"}, {"maximum": 5, "type": "integer"}]},
        {"type": "object", "properties": {"a": {}, "b": {}}, "dependentRequired": {"a": ["b"]}},
        {"type": "object", "properties": {"a": {}}, "minProperties": 1},
        {"type": "array", "contains": {"const": 1}},
        {"type": "number", "minimum": 0.5},
        {"type": "string", "pattern": "^(?=a)b*"},
        {"type": "string", "maxLength": 1_000_000},
        {"type": "string", "enum": ["a", "b"], "minLength": 1},
    ],
)  # fmt: skip
def test_what_the_grammar_doesnt_say_is_left_to_the_check(told: Any) -> None:
    """Such an answer has to be checked."""
    assert not schema.compile(told).exact


@pytest.mark.parametrize(
    "told",
    [
        {"oneOf": [{"type": "string"}, {"type": "null"}]},
        {"type": "array", "uniqueItems": False},
        {"type": "object", "properties": {"a": {}}, "unevaluatedProperties": False},
        {"type": "string", "format": "unheard-of"},
        {"type": "number", "minimum": 0, "exclusiveMaximum": 10},
    ],
)
def test_what_the_grammar_says_whole_is_exact(told: Any) -> None:
    """No check is needed."""
    assert schema.compile(told).exact


def test_many_optional_properties_are_told_apart_by_letters() -> None:
    """Twenty of them leave one way to go on at each letter, and keep their order."""
    told = {"type": "object", "properties": {f"name{at}": {"type": "null"} for at in range(20)}}
    assert allowed(told, {"name3": None, "name19": None}, {"name19": None, "name3": None}) == [True, False]
    follower = following.Follower(schema.compile(told).grammar)
    state = follower.start
    for character in '{"name3":null,"nam':
        state = follower.step(state, character)
        assert len(state) <= 2
