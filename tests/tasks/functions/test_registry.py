"""A typed Python function becomes a tool: its schema, its descriptions, and arguments read by them."""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field
from typing_extensions import TypedDict

from tasks.errors import InvalidField
from tasks.functions.registry import Function, function


@dataclass
class Point:
    """Where something is."""

    x: float
    y: float = 0.0


class Note(TypedDict):
    title: str


@function
def order(
    dish: str,
    count: Annotated[int, Field(ge=1, le=9)],
    size: Literal["small", "large"] = "small",
    extras: Annotated[list[str] | None, "What goes on top."] = None,
    prices: dict[str, float] | None = None,
    hot: bool = True,
    *,
    to: Point | None = None,
    note: Note | None = None,
) -> dict[str, Any]:
    """Orders a dish.

    It is brought
    by bicycle.

    Args:
        dish: What to cook, as it
            stands on the card.
        count (int): How many.
        extras: The annotation's text goes before this one.

    Returns:
        What was ordered: everything.
    """
    return {"dish": dish, "count": count, "size": size, "extras": extras, "prices": prices, "to": to, "note": note}


def read(tool: Function, **arguments: Any) -> dict[str, Any]:
    return tool.parameters.read(json.dumps(arguments))


def test_description_is_the_docstring_before_its_sections() -> None:
    """Paragraphs stay, lines don't."""
    assert (order.name, order.description) == ("order", "Orders a dish.\n\nIt is brought by bicycle.")


def test_schema_is_that_of_the_annotations() -> None:
    """What has a default needn't be given; nothing else may be."""
    schema = order.signature.parameters
    assert (schema["type"], schema["required"], schema["additionalProperties"]) == ("object", ["dish", "count"], False)
    members = schema["properties"]
    assert members["dish"] == {"type": "string", "description": "What to cook, as it stands on the card."}
    assert members["count"] == {"type": "integer", "minimum": 1, "maximum": 9, "description": "How many."}
    assert members["size"] == {"type": "string", "enum": ["small", "large"], "default": "small"}
    strings = {"type": "array", "items": {"type": "string"}}
    assert members["extras"] == {
        "anyOf": [strings, {"type": "null"}], "default": None, "description": "What goes on top."
    }  # fmt: skip
    assert members["prices"]["anyOf"][0] == {"type": "object", "additionalProperties": {"type": "number"}}
    assert members["hot"] == {"type": "boolean", "default": True}
    assert members["to"]["anyOf"] == [{"$ref": "#/$defs/Point"}, {"type": "null"}]
    assert schema["$defs"]["Point"]["required"] == ["x"]
    assert schema["$defs"]["Note"]["properties"] == {"title": {"type": "string"}}


def test_arguments_are_made_what_the_annotations_say() -> None:
    """Objects become dataclasses; what isn't given is its default."""
    given = read(order, dish="soup", count=2, to={"x": 1}, note={"title": "now"}, prices={"a": 1})
    assert given == {
        "dish": "soup", "count": 2, "size": "small", "extras": None, "prices": {"a": 1.0}, "hot": True,
        "to": Point(1.0), "note": {"title": "now"},
    }  # fmt: skip
    assert order.run(given) == order("soup", 2, to=Point(1.0), note={"title": "now"}, prices={"a": 1.0})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"count": "2"}, "count"), ({"count": 2.5}, "count"), ({"count": True}, "count"), ({"count": 0}, "count"),
        ({"count": None}, "count"), ({"size": "huge"}, "size"), ({"dish": 5}, "dish"), ({"hot": 1}, "hot"),
        ({"plates": 2}, "plates"), ({"note": {}}, "note.title"), ({"to": {"x": "1"}}, "to.x"),
    ],
)  # fmt: skip
def test_argument_that_does_not_fit_is_named(changes: dict[str, Any], field: str) -> None:
    """By its path, and in words about it."""
    with pytest.raises(InvalidField) as wrong:
        read(order, **{"dish": "soup", "count": 2, **changes})
    assert wrong.value.field == f"arguments.{field}"
    assert "keyword" not in str(wrong.value)


@given(st.text() | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_arguments_of_any_text_are_read_or_refused(text: str) -> None:
    """Nothing else is ever raised."""
    with pytest.raises(InvalidField):
        order.parameters.read(text)


def test_function_without_parameters_takes_nothing() -> None:
    """As models write it: an empty object, or not even that."""

    @function
    def now() -> str:
        """Tells the time."""
        return "noon"

    assert [now.parameters.read(text) for text in ("{}", "", " \n")] == [{}, {}, {}]
    assert now.signature.parameters == {"type": "object", "properties": {}, "additionalProperties": False}


def undescribed(a: int) -> None: ...


def bare(a) -> None:  # type: ignore[no-untyped-def]
    """Has a parameter of no type."""


def starred(*a: int) -> None:
    """Takes any number."""


def anything(**a: int) -> None:
    """Takes any name."""


def first(a: int, /) -> None:
    """Takes one by its place only."""


def foreign(a: Function) -> None:
    """Takes what JSON doesn't have."""


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (undescribed, "undescribed has no docstring"), (bare, "bare: a has no annotation"),
        (starred, "starred: a can't be given by name"), (anything, "anything: a can't"), (first, "first: a can't"),
        (foreign, "foreign: "), (lambda: None, "<lambda>: a name is"),
    ],
)  # fmt: skip
def test_function_that_cannot_be_a_tool_is_refused_when_it_is_made_one(wrong: Any, said: str) -> None:
    """With its name and what is missing."""
    with pytest.raises(ValueError, match=said):
        function(wrong)
