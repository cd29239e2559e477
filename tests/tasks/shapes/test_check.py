"""The second look at an answer."""

from typing import Any

import pytest

from tasks import errors
from tasks.shapes import check


@pytest.mark.parametrize(
    ("told", "value", "fault"),
    [
        (
            {"type": "object", "properties": {"a": {"items": {"type": "null"}}}},
            {"a": [None, 1]},
            "$.a.1: 1 is not of type 'null'",
        ),
        ({"uniqueItems": True}, [1, 1], "$: [1, 1] has non-unique elements"),
        ({"format": "date"}, "2023-02-29", "$: '2023-02-29' is not a 'date'"),
        ({"format": "unheard-of"}, "x", None),
        ({"pattern": r"^\d$"}, "٣", "$: '٣' does not match '^\\\\d$'"),
        ({"pattern": "^a$"}, "a\n", "$: 'a\\n' does not match '^a$'"),
        ({"pattern": "(?<n>a)"}, "a", None),
        ({"patternProperties": {"^x": {"type": "null"}}}, {"x1": 1}, "$.x1: 1 is not of type 'null'"),
        ({"type": "string", "nullable": True}, None, None),
        ({"enum": ["a"], "nullable": True}, None, None),
        (
            {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "null"}]},
            [1],
            "$.0: 1 is not of type 'null'",
        ),
    ],
)
def test_first_fault_is_told_with_its_place(told: Any, value: Any, fault: str | None) -> None:
    """As the grammar reads formats, patterns and `nullable`."""
    assert check.faults(told, value) == fault


def test_long_values_arent_told_at_length() -> None:
    """The fault goes into logs and answers."""
    assert len(check.faults({"type": "null"}, "x" * 10_000) or "") < 400


@pytest.mark.parametrize(
    ("told", "path"),
    [
        ({"type": "strange"}, "s.type"),
        ({"properties": {"a": {"minimum": "3"}}}, "s.properties.a.minimum"),
        ([], "s"),
        ({"items": [{}]}, "s.items"),
    ],
)
def test_what_is_no_schema_is_refused_by_its_place(told: Any, path: str) -> None:
    """By the draft's own schema."""
    with pytest.raises(errors.SchemaRefused) as refused:
        check.usable(told, "s")
    assert refused.value.path == path


def test_reference_to_nothing_is_refused() -> None:
    """Also where only the check follows it."""
    with pytest.raises(errors.SchemaRefused, match="nothing at /nowhere"):
        check.faults({"not": {"$ref": "#/nowhere"}}, 1)
    with pytest.raises(errors.SchemaRefused, match="nothing at http"):
        check.faults({"not": {"$ref": "http://localhost:1/x"}}, 1)
