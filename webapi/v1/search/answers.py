"""What a search answers."""

import marshmallow as ma
from marshmallow import fields


class Passage(ma.Schema):
    """A chunk of a document that was found."""

    document_id = fields.String(required=True)
    chunk = fields.Integer(required=True, metadata={"description": "Its number in the document, from 0."})
    score = fields.Float(
        required=True,
        metadata={"description": "Cosine similarity to the query, -1 to 1. The order also counts common words."},
    )
    text = fields.String(required=True)
    title = fields.String(required=True, allow_none=True)
    metadata = fields.Dict(required=True)


class SearchResults(ma.Schema):
    object = fields.String(required=True, metadata={"enum": ["list"]})
    results = fields.List(fields.Nested(Passage), required=True)
