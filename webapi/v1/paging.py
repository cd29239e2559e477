"""Lists that come in pages: `limit` and `after` are asked, `data` and `next` answered."""

from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, Concatenate, Generic, Literal, ParamSpec, TypedDict, TypeVar

from flask import Response
from marshmallow import fields

from dialects.fields import Strict, within
from webapi.api import reply

P = ParamSpec("P")
Item = TypeVar("Item")
Shown = TypeVar("Shown")
Query = dict[str, Any]

AFTER = "`next` of the page before."


class PageQuery(Strict):
    """What every list takes; its `after` names one of its own things."""

    limit = fields.Integer(load_default=20, validate=within(1, 100))


class List(TypedDict, Generic[Shown]):
    object: Literal["list"]
    data: list[Shown]
    next: Annotated[str | None, "`after` of the next page; null on the last."]


def paged(
    show: Callable[[Item], Shown], after: Callable[[Item], str]
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
            data = [show(one) for one in found]
            answer: List[Shown] = {"object": "list", "data": data, "next": after(found[-1]) if more else None}
            return reply(answer)

        return answered

    return decorate
