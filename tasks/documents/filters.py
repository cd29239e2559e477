"""Filters: which documents a search looks into, as OpenAI's vector stores have them.

`{"type": "eq", "key": "year", "value": 2026}` compares, `{"type": "and", "filters": […]}` joins comparisons, and so
does `or`. A plain object, `{"year": 2026, "by": "Anna"}`, is short for all of these being equal; what has `key` or
`filters`, or one of these words as its `type`, is none. A key is one of a document's metadata, or one of `FIELDS`,
which every document has.
"""

import operator
import unicodedata
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, func, literal, literal_column, not_, or_, true
from sqlalchemy.dialects.postgresql import JSONB

from db.documents.documents import Document
from tasks import errors, ids

Scalar = str | int | float | bool

ORDERS: Mapping[str, Callable[[Any, Any], Any]] = {
    "gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le,
}  # fmt: skip
EQUALS = ("eq", "ne")
LISTS = ("in", "nin")
COMPARISONS = (*EQUALS, *ORDERS, *LISTS)
JOINS = ("and", "or")
FIELDS = ("document_id", "filename", "external_id")
MAX_DEPTH = 5  # filters within filters
MAX_PARTS = 64  # comparisons in all
MAX_LISTED = 200  # values of one `in`
MAX_KEY, MAX_TEXT = 64, 512  # characters


@dataclass(frozen=True, slots=True)
class Comparison:
    """Of what a document has under `key` with a value, or with a list of them for `in` and `nin`.

    Numbers are compared with numbers only, texts with texts (both in NFC), truth values with truth values. What has no
    such value is neither equal, nor greater, nor less, nor in the list: `ne` and `nin` hold for it. `of_metadata` says
    that the key is one of the metadata, though one of `FIELDS` is called so.
    """

    type: str
    key: str
    value: Scalar | tuple[Scalar, ...]
    of_metadata: bool = False


@dataclass(frozen=True, slots=True)
class Joined:
    """All of these hold, or one does."""

    type: str
    filters: "tuple[Filter, ...]"


Filter = Comparison | Joined


def parse(given: Any, path: str = "filter", *, fields: tuple[str, ...] = FIELDS) -> Filter:
    """The filter that a client gave as JSON, whose keys are these fields of documents, and all others their metadata.

    Raises `InvalidField` that names the part under `path`.
    """
    return _Parser(fields).filter(given, path, 1)


def condition(filter: Filter) -> ColumnElement[bool]:
    """What the filter wants of `Document`, as PostgreSQL checks it. No value can make it fail."""
    if isinstance(filter, Joined):
        parts = [condition(part) for part in filter.filters]
        if not parts:
            return true()
        return and_(*parts) if filter.type == "and" else or_(*parts)
    if filter.type in ("ne", "nin"):
        return not_(func.coalesce(_compared(filter), False))
    return func.coalesce(_compared(filter), False)


class _Parser:
    """Counts what it has seen of one filter."""

    def __init__(self, fields: tuple[str, ...]) -> None:
        self._parts = 0
        self._fields = fields

    def filter(self, given: Any, path: str, depth: int) -> Filter:
        if not isinstance(given, dict):
            raise errors.InvalidField(path, "must be an object")
        if depth > MAX_DEPTH:
            raise errors.InvalidField(path, f"filters are at most {MAX_DEPTH} deep")
        kind = given.get("type")
        if _is(kind, JOINS) or "filters" in given:
            return self._joined(given, path, depth)
        if _is(kind, COMPARISONS) or "key" in given:
            return self._comparison(given, path)
        if depth > 1 or not self._fields:  # the short form is ours, and fields are what only we can name
            raise errors.InvalidField(path, "must have `type`, `key` and `value`, or `type` and `filters`")
        return self._all_equal(given, path)

    def _joined(self, given: dict[str, Any], path: str, depth: int) -> Filter:
        _just(given, ("type", "filters"), path)
        kind, parts = given["type"], given["filters"]
        if not _is(kind, JOINS):
            raise errors.InvalidField(f"{path}.type", f"must be one of {', '.join(JOINS)}")
        if not isinstance(parts, list) or not parts:
            raise errors.InvalidField(f"{path}.filters", "must be a list of filters")
        if len(parts) > MAX_PARTS:
            raise errors.InvalidField(f"{path}.filters", f"at most {MAX_PARTS}")
        below = [self.filter(part, f"{path}.filters.{place}", depth + 1) for place, part in enumerate(parts)]
        return Joined(kind, tuple(below))

    def _comparison(self, given: dict[str, Any], path: str) -> Filter:
        _just(given, ("type", "key", "value"), path)
        self._count(path)
        kind, key = given["type"], given["key"]
        if not _is(kind, COMPARISONS):
            raise errors.InvalidField(f"{path}.type", f"must be one of {', '.join((*COMPARISONS, *JOINS))}")
        if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY:
            raise errors.InvalidField(f"{path}.key", f"must be a text of 1 to {MAX_KEY} characters")
        return self._compared(kind, key, given["value"], f"{path}.value")

    def _all_equal(self, given: dict[str, Any], path: str) -> Filter:
        if len(given) > 16:
            raise errors.InvalidField(path, "at most 16 pairs")
        for key in given:
            if len(key) > MAX_KEY:
                raise errors.InvalidField(f"{path}.{key[:MAX_KEY]}", f"a key has at most {MAX_KEY} characters")
        return Joined("and", tuple(self._compared("eq", key, value, f"{path}.{key}") for key, value in given.items()))

    def _compared(self, kind: str, key: str, value: Any, path: str) -> Comparison:
        field = key if key in self._fields else None
        return Comparison(kind, key, _value(kind, field, value, path), of_metadata=field is None and key in FIELDS)

    def _count(self, path: str) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise errors.InvalidField(path, f"at most {MAX_PARTS} comparisons")


def _is(kind: Any, words: tuple[str, ...]) -> bool:
    return isinstance(kind, str) and kind in words


def _just(given: Mapping[str, Any], wanted: tuple[str, ...], path: str) -> None:
    """Raises `InvalidField` for the first part that is missing, or that there is too much."""
    for name in wanted:
        if name not in given:
            raise errors.InvalidField(f"{path}.{name}", f"is missing: such a filter has {', '.join(wanted)}")
    for name in given:
        if name not in wanted:
            raise errors.InvalidField(f"{path}.{name[:MAX_KEY]}", "unknown field")


def _value(kind: str, field: str | None, given: Any, path: str) -> Scalar | tuple[Scalar, ...]:
    if kind not in LISTS:
        return _scalar(kind, field, given, path)
    if not isinstance(given, list):
        raise errors.InvalidField(path, "must be a list")
    if len(given) > MAX_LISTED:
        raise errors.InvalidField(path, f"at most {MAX_LISTED}")
    return tuple(_scalar(kind, field, one, f"{path}.{place}") for place, one in enumerate(given))


def _scalar(kind: str, field: str | None, given: Any, path: str) -> Scalar:
    """The value that is compared with one of `FIELDS`, or with one of the metadata."""
    if not isinstance(given, (str, int, float)) or (isinstance(given, str) and len(given) > MAX_TEXT):
        raise errors.InvalidField(path, f"must be a string of at most {MAX_TEXT} characters, a number or a boolean")
    if field is not None and not isinstance(given, str):
        raise errors.InvalidField(path, "must be a string")
    if kind in ORDERS and (isinstance(given, bool) or field == "document_id"):
        raise errors.InvalidField(path, "has no order: compare it by eq, ne, in or nin")
    if field == "document_id" and ids.parse(str(given), ids.DOCUMENT) is None:
        raise errors.InvalidField(path, "must be the id of a document, as in doc_…")
    return _nfc(given) if isinstance(given, str) else given


def _compared(one: Comparison) -> ColumnElement[Any]:
    """Null where the document has nothing of that kind."""
    if one.key == "document_id" and not one.of_metadata:
        wanted = [ids.parse(str(value), ids.DOCUMENT) for value in _listed(one.value)]
        return Document.id.in_([value for value in wanted if isinstance(value, uuid.UUID)])
    if one.key in FIELDS and not one.of_metadata:
        column = func.normalize(getattr(Document, one.key))
        return _by(one, column, [literal(value, Text) for value in _listed(one.value)])
    found = _fact(one.key)
    kind = func.jsonb_typeof(found)
    texts = func.normalize(found.op("#>>", return_type=Text())(literal_column("'{}'")))
    # As JSON, which orders what is of one kind and never fails to: a cast of a text to a number can.
    parts = [
        and_(kind == name, _by(one, texts if name == "string" else found, values))
        for name, values in _by_kind(_listed(one.value)).items()
    ]
    return or_(*parts) if parts else literal(False)


def _by(one: Comparison, found: Any, wanted: list[Any]) -> ColumnElement[bool]:
    if one.type in ORDERS:
        compared: ColumnElement[bool] = ORDERS[one.type](found, wanted[0])
        return compared
    return or_(*(found == value for value in wanted)) if wanted else literal(False)


def _by_kind(values: tuple[Scalar, ...]) -> dict[str, list[Any]]:
    """The values by the name that JSON has for their kind: texts as text, the others as JSON."""
    kinds: dict[str, list[Any]] = {}
    for value in values:
        if isinstance(value, str):
            kinds.setdefault("string", []).append(literal(value, Text))
        else:
            kinds.setdefault("boolean" if isinstance(value, bool) else "number", []).append(literal(value, JSONB))
    return kinds


def _fact(key: str) -> Any:
    """What a document's metadata has under the key, composed or not."""
    spellings = {key, _nfc(key), unicodedata.normalize("NFD", key)}
    return func.coalesce(*(Document.labels[spelling] for spelling in sorted(spellings)), type_=JSONB)


def _listed(value: Scalar | tuple[Scalar, ...]) -> tuple[Scalar, ...]:
    return value if isinstance(value, tuple) else (value,)


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)
