"""The models that jobs can ask for."""

from flask import Response

from tasks.errors import ModelUnknown
from tasks.queues import capacity
from webapi import service
from webapi.api import Blueprint, reply
from webapi.openai import errors
from webapi.v1.models import answers

blueprint = Blueprint("models", __name__, description="What can be asked, in OpenAI's shape and more.")
errors.register(blueprint)


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


@blueprint.route("/v1/models/<model:name>", methods=["GET"])
@blueprint.response(200, answers.Model)
@blueprint.answers(401, 404, 500, 503)
def model(name: str) -> Response:
    """Look at a model"""
    serving = service.current()
    models = serving.catalog
    found = models.get(name)
    if found is None:
        raise ModelUnknown("model", f"no model {name[:200]!r}; GET /v1/models lists them")
    with serving.sessions.begin() as session:
        alive = capacity.strengths(session, serving.settings.shared.lease_s)
    workers = alive[name].workers if name in alive else 0
    return reply(answers.model(found, models, workers))
