"""What clients may send to search."""

from marshmallow import fields, validate

from webapi.fields import STORABLE, Given, Real, Whole
from webapi.v1.documents.requests import Name, facts, not_blank
from webapi.v1.rerank.requests import Rerank


class SearchRequest(Given):
    """What to look for, and where."""

    query = fields.String(required=True, validate=not_blank("query"), metadata={"minLength": 1, **STORABLE})
    collection = Name(required=True)
    top_k = Whole(
        allow_none=True, validate=validate.Range(1, 100), metadata={"description": "At most so many; 10 if absent."}
    )
    threshold = Real(
        allow_none=True, validate=validate.Range(0, 1), metadata={"description": "Only what has this `score` or more."}
    )
    filter = facts("Only documents whose metadata has all of these.")
    rerank = Rerank("Has a model of the type `rerank`, of this name or the default, put the best into order.")
