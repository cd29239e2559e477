"""The page's schemas of answers are what their types say."""

from typing import Annotated, Any, Generic, Literal, NotRequired, TypedDict, TypeVar

import pytest

from tasks.times import Moment
from webapi import shapes

Item = TypeVar("Item")


class Inner(TypedDict):
    score: float | None


class OuterObject(TypedDict):
    """Said of it."""

    kind: Literal["outer"]
    number: Annotated[int | None, "How many."]
    at: Annotated[Moment | None, "When."]
    word: Annotated[str, {"enum": ("a", "b")}, "Which."]
    inner: Inner | None
    inners: list[Inner]
    counts: dict[str, int]
    anything: dict[str, Any]
    extra: NotRequired[Annotated[bool, "Not always there."]]


class Several(TypedDict, Generic[Item]):
    data: list[Item]


INNER = {"$ref": "#/components/schemas/Inner"}


def test_schema_says_what_the_type_says() -> None:
    """Members, nulls, descriptions, what is required, and the schemas within."""
    found = shapes.components([OuterObject])
    assert found.keys() == {"Outer", "Inner"}
    assert found["Outer"] == {
        "type": "object",
        "description": "Said of it.",
        "additionalProperties": False,
        "properties": {
            "kind": {"type": "string", "enum": ["outer"]},
            "number": {"type": ["integer", "null"], "description": "How many."},
            "at": {"type": ["string", "null"], "format": "date-time", "description": "When."},
            "word": {"type": "string", "enum": ("a", "b"), "description": "Which."},
            "inner": {"anyOf": [INNER, {"type": "null"}]},
            "inners": {"type": "array", "items": INNER},
            "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
            "anything": {"type": "object", "additionalProperties": {}},
            "extra": {"type": "boolean", "description": "Not always there."},
        },
        "required": ["kind", "number", "at", "word", "inner", "inners", "counts", "anything"],
    }


def test_one_of_something_is_named_and_filled_with_it() -> None:
    """A page of jobs is another schema than a page of documents."""
    found = shapes.components([Several[OuterObject]])
    assert shapes.reference(Several[OuterObject]) == {"$ref": "#/components/schemas/OuterSeveral"}
    items = {"$ref": "#/components/schemas/Outer"}
    assert found["OuterSeveral"]["properties"] == {"data": {"type": "array", "items": items}}
    assert found.keys() == {"OuterSeveral", "Outer", "Inner"}


def test_two_of_one_name_are_a_mistake() -> None:
    """One would be documented as the other."""

    class InnerObject(TypedDict):
        other: str

    with pytest.raises(ValueError, match="two answers are called Inner"):
        shapes.components([Inner, InnerObject])
