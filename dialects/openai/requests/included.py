"""`include`: what a client wants told of items beside what is always told."""

from collections.abc import Mapping
from typing import Any

from marshmallow import fields, validate

from dialects.fields import Strict
from dialects.openai.render.items import INCLUDABLE

_MOST = 32


def _field(description: str, **options: Any) -> fields.List[Any]:
    one = fields.String(validate=validate.OneOf(INCLUDABLE))
    return fields.List(one, validate=validate.Length(max=_MOST), metadata={"description": description}, **options)


class IncludeQuery(Strict):
    include = _field("What is told beside; may be said again.")
    included = _field("`include`, as OpenAI's clients write it.", data_key="include[]")


def included(query: Mapping[str, Any]) -> set[str]:
    """What such a query asks for, written either way."""
    return {*query.get("include", ()), *query.get("included", ())}
