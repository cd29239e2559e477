"""What clients are answered about models."""

import marshmallow as ma
from marshmallow import fields


class Model(ma.Schema):
    id = fields.String(required=True)
    object = fields.String(required=True, metadata={"enum": ["model"]})
    types = fields.List(fields.String(), required=True)
    context = fields.Integer(required=True, metadata={"description": "Tokens of prompt and answer together."})
    slots = fields.Integer(required=True, metadata={"description": "Jobs a worker runs at the same time."})
    engine = fields.String(required=True)
    workers = fields.Integer(required=True, metadata={"description": "Workers alive now."})
    default = fields.Boolean(required=True)


class ModelList(ma.Schema):
    object = fields.String(required=True, metadata={"enum": ["list"]})
    data = fields.List(fields.Nested(Model), required=True)
