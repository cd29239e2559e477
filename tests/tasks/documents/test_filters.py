"""Filters: what is refused, and which documents each lets through."""

from typing import Any

import pytest
from sqlalchemy import select

from db.documents.documents import Document
from db.scope import scope
from db.session import Sessions
from tasks import errors, ids
from tasks.documents import filters
from tasks.keys import Caller
from tests import shelves

# Of each document the metadata and what else it has.
DOCUMENTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a": ({"year": 2020, "by": "Anna", "draft": True}, {"filename": "a.txt", "external_id": "x-1"}),
    "b": ({"year": 2021.5, "by": "Zoë"}, {"filename": "Zoe\u0308.pdf"}),
    "c": ({"year": "2020", "draft": False}, {}),
    "d": ({}, {"filename": "d.txt"}),
}


def compare(type: str, key: str, value: Any) -> dict[str, Any]:
    return {"type": type, "key": key, "value": value}


def through(sessions: Sessions, caller: Caller, given: Any) -> str:
    """The names of the documents that the filter lets through."""
    with sessions.begin() as session, scope(session, caller.tenant_id):
        query = select(Document.title).where(filters.condition(filters.parse(given)))
        return "".join(sorted(title or "" for title in session.scalars(query)))


@pytest.fixture
def documents(sessions: Sessions, caller: Caller) -> dict[str, str]:
    """Their ids as clients see them, by their names."""
    with sessions.begin() as session:
        home = shelves.collection(session, caller.tenant_id)
        made = {
            name: shelves.document(session, caller.tenant_id, home, title=name, labels=labels, **about)
            for name, (labels, about) in DOCUMENTS.items()
        }
    return {name: ids.show(id, ids.DOCUMENT) for name, id in made.items()}


@pytest.mark.usefixtures("documents")
@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "abcd"),
        ({"year": 2020}, "a"),
        ({"year": 2020.0, "by": "Anna"}, "a"),
        ({"type": "x"}, ""),
        (compare("eq", "year", "2020"), "c"),
        (compare("eq", "draft", 1), ""),
        (compare("ne", "year", 2020), "bcd"),
        (compare("ne", "draft", True), "bcd"),
        (compare("gt", "year", 2020), "b"),
        (compare("gte", "year", 2020), "ab"),
        (compare("lt", "year", 2021.5), "a"),
        (compare("lte", "year", 10**18), "ab"),
        (compare("lte", "year", "3"), "c"),
        (compare("gt", "by", "B"), "b"),
        (compare("gt", "nothing", 0), ""),
        (compare("in", "year", [2020, "2020", True]), "ac"),
        (compare("in", "year", []), ""),
        (compare("nin", "year", [2020, "2020"]), "bd"),
        (compare("nin", "year", []), "abcd"),
        (compare("eq", "by", "Zoe\u0308"), "b"),
        (compare("eq", "filename", "Zoë.pdf"), "b"),
        (compare("ne", "filename", "a.txt"), "bcd"),
        (compare("in", "filename", ["a.txt", "d.txt"]), "ad"),
        (compare("eq", "external_id", "x-1"), "a"),
        (compare("ne", "external_id", "x-1"), "bcd"),
        ({"type": "and", "filters": [compare("gte", "year", 2020), compare("eq", "by", "Zoë")]}, "b"),
        ({"type": "or", "filters": [compare("gt", "year", 2021), compare("eq", "filename", "d.txt")]}, "bd"),
        (
            {
                "type": "and",
                "filters": [
                    {"type": "or", "filters": [compare("eq", "draft", True), compare("eq", "draft", False)]},
                    compare("ne", "year", "2020"),
                ],
            },
            "a",
        ),
    ],
)
def test_filter_lets_through_what_it_says(sessions: Sessions, caller: Caller, given: Any, found: str) -> None:
    """Numbers are compared with numbers, texts with texts in NFC; what isn't there is equal to nothing."""
    assert through(sessions, caller, given) == found


def test_documents_are_named_by_their_ids(sessions: Sessions, caller: Caller, documents: dict[str, str]) -> None:
    """As they are shown."""
    assert through(sessions, caller, compare("eq", "document_id", documents["b"])) == "b"
    assert through(sessions, caller, compare("ne", "document_id", documents["b"])) == "acd"
    assert through(sessions, caller, compare("in", "document_id", [documents["a"], documents["d"]])) == "ad"


@pytest.mark.usefixtures("documents")
@pytest.mark.parametrize("value", ["x", 1e308, -1, True, "1e5", "'; DROP TABLE documents; --", "%", "NaN", 0.1])
@pytest.mark.parametrize("kind", ["eq", "ne", "gt", "gte", "lt", "lte"])
def test_no_value_makes_a_comparison_fail(sessions: Sessions, caller: Caller, kind: str, value: Any) -> None:
    """Whatever the documents have there."""
    for key in ("year", "by", "draft", "$.x", "a.b", "filename"):
        if key == "filename" and not isinstance(value, str):
            continue
        if isinstance(value, bool) and kind in filters.ORDERS:
            continue
        assert set(through(sessions, caller, compare(kind, key, value))) <= set("abcd")


def deep(levels: int) -> dict[str, Any]:
    given = compare("eq", "k", 1)
    for _ in range(levels - 1):
        given = {"type": "and", "filters": [given]}
    return given


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (None, "filter"),
        ([], "filter"),
        ("year", "filter"),
        ({"k": None}, "filter.k"),
        ({"k": [1]}, "filter.k"),
        ({"k": "v" * 513}, "filter.k"),
        ({"k" * 65: 1}, f"filter.{'k' * 64}"),
        ({str(i): i for i in range(17)}, "filter"),
        ({"type": "and", "filters": []}, "filter.filters"),
        ({"type": "and", "filters": {}}, "filter.filters"),
        ({"type": "nor", "filters": []}, "filter.type"),
        ({"type": "eq", "key": "a"}, "filter.value"),
        ({"type": "eq", "value": "a"}, "filter.key"),
        ({"type": "nin"}, "filter.key"),
        ({"type": "gt", "year": 2026}, "filter.key"),
        ({"type": "and"}, "filter.filters"),
        ({"type": "or", "year": 2026}, "filter.filters"),
        ({"type": "or", "key": "a", "value": 1}, "filter.filters"),
        ({"filters": [deep(1)]}, "filter.type"),
        ({"key": "a", "value": 1}, "filter.type"),
        ({"type": "like", "key": "a"}, "filter.value"),
        ({"type": ["eq"], "key": "a", "value": 1}, "filter.type"),
        ({"type": "and", "filters": [{"type": "eq", "key": "a"}]}, "filter.filters.0.value"),
        ({"type": "and", "filters": [{"k": 1}]}, "filter.filters.0"),
        ({"type": "and", "filters": [deep(1)], "x": 1}, "filter.x"),
        ({**deep(1), "x": 1}, "filter.x"),
        (compare("like", "k", "x"), "filter.type"),
        (compare("eq", "", 1), "filter.key"),
        (compare("eq", 5, 1), "filter.key"),
        (compare("eq", "k", None), "filter.value"),
        (compare("eq", "k", [1]), "filter.value"),
        (compare("in", "k", 1), "filter.value"),
        (compare("in", "k", [1, None]), "filter.value.1"),
        (compare("in", "k", [1] * 201), "filter.value"),
        (compare("gt", "k", True), "filter.value"),
        (compare("gt", "document_id", "doc_" + "0" * 32), "filter.value"),
        (compare("eq", "document_id", "nothing"), "filter.value"),
        (compare("eq", "filename", 5), "filter.value"),
        ({"type": "and", "filters": [deep(1)] * 65}, "filter.filters"),
        ({"type": "or", "filters": [{"type": "and", "filters": [deep(1)] * 33}] * 2}, "filter.filters.1.filters.31"),
        (deep(6), "filter" + ".filters.0" * 5),
    ],
)
def test_wrong_filter_is_refused_by_its_place(given: Any, field: str) -> None:
    """Before anything is asked."""
    with pytest.raises(errors.InvalidField) as caught:
        filters.parse(given)
    assert caught.value.field == field


def test_deepest_filter_is_taken() -> None:
    """Five levels."""
    assert filters.parse(deep(5))


@pytest.mark.parametrize("given", [{"type": "invoice"}, {"type": "invoice", "value": 3}, {"type": 5}])
def test_metadata_called_type_is_compared_as_any_other(given: dict[str, Any]) -> None:
    """Unless its value is a word that filters are made of."""
    assert filters.parse(given) == filters.Joined(
        "and", tuple(filters.Comparison("eq", key, value) for key, value in given.items())
    )


@pytest.mark.usefixtures("documents")
def test_key_is_one_of_the_metadata_only_where_no_field_may_be_named(sessions: Sessions, caller: Caller) -> None:
    """What is called like a field of documents is compared as any other, and the short form isn't known."""
    with sessions.begin() as session, scope(session, caller.tenant_id):
        given = compare("eq", "filename", "a.txt")
        for fields, found in ((filters.FIELDS, ["a"]), ((), [])):
            holds = filters.condition(filters.parse(given, fields=fields))
            assert session.scalars(select(Document.title).where(holds)).all() == found
    assert filters.parse(compare("lt", "document_id", 5), fields=())
    with pytest.raises(errors.InvalidField):
        filters.parse({"year": 2020}, fields=())
