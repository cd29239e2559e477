"""The models that jobs can ask for."""

from flask import Response

from tasks.queues import capacity
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
        alive = capacity.strengths(session, serving.settings.shared.lease_s)
    counts = {name: strength.workers for name, strength in alive.items()}
    data = [answers.model(model, models, counts.get(name, 0)) for name, model in models.items()]
    return reply({"object": "list", "data": data})
