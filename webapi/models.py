"""The models that jobs can ask for."""

import marshmallow as ma
from flask import Response
from marshmallow import fields

from db import workers
from tasks.models import catalog
from webapi import service
from webapi.api import Blueprint, reply

blueprint = Blueprint("models", __name__, description="What can be asked.")


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


@blueprint.route("/v1/models", methods=["GET"])
@blueprint.response(200, ModelList)
@blueprint.answers(401, 500, 503)
def models() -> Response:
    """List the models and how many workers serve each"""
    serving = service.current()
    with serving.sessions.begin() as session:
        alive = workers.strengths(session, serving.settings.shared.lease_s)
    data = [
        {
            "id": model.name,
            "object": "model",
            "types": list(model.types),
            "context": model.context,
            "slots": model.slots,
            "engine": model.engine,
            "workers": alive[model.name].workers if model.name in alive else 0,
            "default": any(catalog.for_type(serving.catalog, type) is model for type in model.types),
        }
        for model in serving.catalog.values()
    ]
    return reply({"object": "list", "data": data})
