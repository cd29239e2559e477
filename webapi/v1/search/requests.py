"""What clients may send to search."""

from marshmallow import validate

from dialects.documents import Filter, Queries
from dialects.fields import Given, Real, Whole
from tasks.documents import ranking
from webapi.v1.documents.requests import Name
from webapi.v1.rerank.requests import Rerank


class SearchRequest(Given):
    """What to look for, and where."""

    query = Queries(required=True)
    collection = Name(required=True)
    top_k = Whole(
        allow_none=True, validate=validate.Range(1, 100), metadata={"description": "At most so many; 10 if absent."}
    )
    threshold = Real(
        allow_none=True, validate=validate.Range(0, 1), metadata={"description": "Only what has this `score` or more."}
    )
    filter = Filter("Only documents for which this holds.", allow_none=True)
    neighbours = Whole(
        allow_none=True,
        validate=validate.Range(0, ranking.MAX_NEIGHBOURS),
        metadata={"description": "Show each with so many chunks before and after it, and as one what stands together."},
    )
    rerank = Rerank("Has a model of the type `rerank`, of this name or the default, put the best into order.")
