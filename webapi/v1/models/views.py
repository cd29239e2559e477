"""The models that jobs can ask for."""

from flask import Response

from db import workers
from tasks.models import catalog
from webapi import service
from webapi.api import Blueprint, reply
from webapi.v1.models import answers

blueprint = Blueprint("models", __name__, description="What can be asked.")


@blueprint.route("/v1/models", methods=["GET"])
@blueprint.response(200, answers.ModelList)
@blueprint.answers(401, 500, 503)
def models() -> Response:
    """List the models and how many workers serve each"""
    serving = service.current()
    models = serving.catalog
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
            "default": any(catalog.for_type(models, type) is model for type in model.types),
        }
        for model in models.values()
    ]
    return reply({"object": "list", "data": data})
