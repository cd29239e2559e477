"""Functions of the server over HTTP: listed, looked at, called."""

import json
from typing import Any

from flask import Response

from tasks import strictjson
from tasks.errors import ToolFailed
from tasks.functions.toolbox import MAX_ARGUMENTS_BYTES
from webapi import auth, presence, service
from webapi.api import Blueprint, reply
from webapi.body import Limits
from webapi.v1.functions import answers, requests

blueprint = Blueprint("functions", __name__, description="What the server can do for a model, or for you.")

_LIMITS = Limits(lambda own: min(own.max_body_bytes, MAX_ARGUMENTS_BYTES), values=2_000)


@blueprint.route("/v1/functions", methods=["GET"])
@blueprint.response(200, answers.ServerFunctionList)
@blueprint.answers(401, 500, 503)
def browse() -> Response:
    """List the functions of the server"""
    serving = service.current()
    serving.rest()
    return reply({"object": "list", "data": [answers.function(one) for one in serving.toolbox.functions().values()]})


@blueprint.route("/v1/functions/<name>", methods=["GET"], parameters=[requests.NAME_IN_PATH])
@blueprint.response(200, answers.ServerFunction)
@blueprint.answers(401, 404, 500, 503)
def show(name: str) -> Response:
    """Look at a function"""
    serving = service.current()
    serving.rest()
    return reply(answers.function(serving.toolbox.find(name)))


@blueprint.route("/v1/functions/<name>", methods=["POST"], parameters=[requests.NAME_IN_PATH])
@blueprint.takes(_LIMITS)
@blueprint.arguments(requests.FunctionCall, example={"arguments": {"timezone": "Europe/Berlin"}})
@blueprint.response(200, answers.FunctionResult)
@blueprint.answers(400, 401, 404, 413, 415, 422, 500, 503)
def call(given: dict[str, Any], name: str) -> Response:
    """Call a function and wait for what it returns

    Arguments that don't fit the function's parameters are 422. A function that fails, takes too long or dies has been
    called nevertheless, and calling it again may do again what it did: that is a 200 whose `error` says why, as a model
    that has it called is told it too.
    """
    serving = service.current()
    serving.end_turn()
    serving.rest()
    arguments = strictjson.dumps(given["arguments"])
    with serving.calling.held(auth.caller().tenant_id):
        try:
            result = serving.toolbox.call(name, arguments, presence.has_left)
        except ToolFailed as error:
            return reply(answers.failed(name, error))
    return reply(answers.returned(name, json.loads(result)))
