"""`/v1/conversations`, read."""

from collections.abc import Mapping
from typing import Any

from marshmallow import fields, validate

from dialects.fields import Given, Labels, within
from dialects.openai.items import ITEM, read
from dialects.openai.requests.included import IncludeQuery
from tasks import errors
from tasks.conversations.items import named

MAX_NEW = 20
EXAMPLE = {"items": [{"type": "message", "role": "user", "content": "Is there a harbour near Anna?"}]}
_NOTES: dict[str, Any] = {"additionalProperties": {"type": "string"}, "description": "Up to 16 pairs, kept with it."}


def _items(**options: Any) -> fields.List[Any]:
    return fields.List(
        fields.Raw(metadata=ITEM),
        validate=validate.Length(max=MAX_NEW, error=f"at most {MAX_NEW} items at a time"),
        metadata={"description": f"Up to {MAX_NEW} at a time."},
        **options,
    )


class NewConversation(Given):
    metadata = Labels(allow_none=True, metadata=_NOTES)
    items = _items(allow_none=True)


class ChangedConversation(Given):
    metadata = Labels(required=True, allow_none=True, metadata=_NOTES)


class NewItems(Given):
    items = _items(required=True)


class ItemListQuery(IncludeQuery):
    after = fields.String(
        validate=validate.Length(1, 200), metadata={"description": "The last `id` of the page before."}
    )
    limit = fields.Integer(load_default=20, validate=within(0, 100))
    order = fields.String(load_default="desc", validate=validate.OneOf(("asc", "desc")))


def items(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The items as they are kept, each with an id. Raises `InvalidField`, `Unsupported`."""
    found = read(given.get("items", []), "items")
    for number, item in enumerate(found):
        if item["type"] == "item_reference":
            raise errors.Unsupported(f"items.{number}.type", "items are put into a conversation whole")
    return [named(item) for item in found]
