"""Lists that come in pages: `limit` and `after` are asked, `data` and `next` answered."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import marshmallow as ma
from flask import Response
from marshmallow import fields

from webapi.api import reply
from webapi.fields import Strict, within

P = ParamSpec("P")
Item = TypeVar("Item")
Query = dict[str, Any]

AFTER = "`next` of the page before."


class PageQuery(Strict):
    """What every list takes; its `after` names one of its own things."""

    limit = fields.Integer(load_default=20, validate=within(1, 100))


def page_of(item: type[ma.Schema]) -> type[ma.Schema]:
    """The schema of one page of these."""
    last = {"description": "`after` of the next page; null on the last."}
    members: dict[str, fields.Field[Any]] = {
        "object": fields.String(required=True, metadata={"enum": ["list"]}),
        "data": fields.List(fields.Nested(item), required=True),
        "next": fields.String(required=True, allow_none=True, metadata=last),
    }
    return ma.Schema.from_dict(members, name=f"{item.__name__}List")


def paged(
    show: Callable[[Item], dict[str, Any]], after: Callable[[Item], str]
) -> Callable[[Callable[Concatenate[Query, P], tuple[list[Item], bool]]], Callable[Concatenate[Query, P], Response]]:
    """Makes an answer of the things on a page and whether there are more, which is what the view returns.

    `show` makes the object of each, `after` what the next page is asked with.
    """

    def decorate(
        view: Callable[Concatenate[Query, P], tuple[list[Item], bool]],
    ) -> Callable[Concatenate[Query, P], Response]:
        @wraps(view)
        def answered(query: Query, /, *args: P.args, **kwargs: P.kwargs) -> Response:
            found, more = view(query, *args, **kwargs)
            last = after(found[-1]) if more else None
            return reply({"object": "list", "data": [show(one) for one in found], "next": last})

        return answered

    return decorate
