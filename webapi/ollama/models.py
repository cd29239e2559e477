"""`/api/tags`, `/api/show`, `/api/ps`, `/api/version`."""

import datetime as dt
import hashlib
import re
from typing import Any

from flask import Response
from marshmallow import EXCLUDE

from tasks import times
from tasks.errors import InvalidField
from tasks.models.capabilities import Capability
from tasks.models.catalog import Model
from tasks.queues import capacity
from webapi import service
from webapi.api import Blueprint, reply
from webapi.body import Limits
from webapi.ollama import answers, asking, errors, requests

blueprint = Blueprint("ollama models", __name__, description="The models, as Ollama's clients list them.")
errors.register(blueprint)

VERSION = "0.12.0"  # what clients ask for to know what they may send
_ANOTHER_AGE = "2300-01-01T00:00:00Z"
_QUANTISATION = re.compile(r"(?:^|[-_.])((?:IQ|Q)\d[A-Z0-9_]*|B?F16|F32)(?=[-.]|$)", re.IGNORECASE)


@blueprint.route("/api/tags", methods=["GET"])
@blueprint.response(200, answers.OllamaTags)
@blueprint.answers(401, 500, 503)
def tags() -> Response:
    """List the models"""
    return reply({"models": [_tag(model) for model in service.current().catalog.values()]})


@blueprint.route("/api/ps", methods=["GET"])
@blueprint.response(200, answers.OllamaProcesses)
@blueprint.answers(401, 500, 503)
def ps() -> Response:
    """List the models that have a worker"""
    serving = service.current()
    with serving.sessions.begin() as session:
        alive = capacity.strengths(session, serving.settings.shared.lease_s)
    return reply({"models": [_loaded(model) for name, model in serving.catalog.items() if name in alive]})


@blueprint.route("/api/show", methods=["POST"])
@blueprint.takes(Limits(lambda own: own.max_body_bytes, values=100, any_type=True))
@blueprint.arguments(requests.OllamaShowRequest, unknown=EXCLUDE, example={"model": "alpha"})
@blueprint.response(200, answers.OllamaShown)
@blueprint.answers(400, 401, 404, 413, 415, 500, 503)
def show(given: dict[str, Any]) -> Response:
    """Look at a model"""
    name = given.get("model") or given.get("name")
    if not name:
        raise InvalidField(None, "model is required")
    return reply(_shown(asking.model(service.current().catalog, name)))


@blueprint.route("/api/version", methods=["GET"])
@blueprint.response(200, answers.OllamaVersion)
@blueprint.answers(401, 500, 503)
def version() -> Response:
    """Say which Ollama's words are spoken here"""
    return reply({"version": VERSION})


def _tag(model: Model) -> answers.OllamaTag:
    return {
        "name": model.name,
        "model": model.name,
        "modified_at": _modified_at(model),
        "size": _size(model),
        "digest": _digest(model),
        "details": _details(model),
    }


def _loaded(model: Model) -> answers.OllamaLoaded:
    return {
        "name": model.name,
        "model": model.name,
        "size": _size(model),
        "digest": _digest(model),
        "details": _details(model),
        "expires_at": _ANOTHER_AGE,
        "size_vram": 0,
        "context_length": model.context,
    }


def _shown(model: Model) -> answers.OllamaShown:
    return {
        "modelfile": f"FROM {model.name}\n",
        "parameters": f"num_ctx {model.context}",
        "template": "",
        "license": "",
        "details": _details(model),
        "model_info": {
            "general.architecture": "forebay",
            "general.basename": model.name,
            "forebay.context_length": model.context,
        },
        "capabilities": _capabilities(model),
        "modified_at": _modified_at(model),
    }


def _capabilities(model: Model) -> list[str]:
    if model.embeds:
        return ["embedding"]
    if model.reranks:
        return []
    tools = Capability.SHAPES in model.capabilities and "chat" in model.types
    return ["completion", *["tools"] * tools, *["insert"] * (Capability.INFILLS in model.capabilities)]


def _details(model: Model) -> answers.OllamaDetails:
    found = _QUANTISATION.search(model.file.stem) if model.file else None
    return {
        "parent_model": "",
        "format": "gguf" if model.file else model.engine,
        "family": "",
        "families": None,
        "parameter_size": "",
        "quantization_level": found[1].upper() if found else "",
    }


def _digest(model: Model) -> str:
    return hashlib.sha256(repr(model).encode()).hexdigest()


def _size(model: Model) -> int:
    try:
        return model.file.stat().st_size if model.file else 0
    except OSError:
        return 0


def _modified_at(model: Model) -> str:
    try:
        changed_s = model.file.stat().st_mtime if model.file else 0.0
    except OSError:
        changed_s = 0.0
    return times.show(dt.datetime.fromtimestamp(int(changed_s), dt.UTC))
