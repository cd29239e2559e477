"""The composition root of the API."""

from typing import Any

from flask import Flask, redirect
from flask_swagger_ui import get_swaggerui_blueprint

from webapi import auth, cors, errors, health, requestlog, service, settings
from webapi.anthropic import batches as message_batches
from webapi.anthropic import messages
from webapi.api import Api
from webapi.ollama import models as ollama_models
from webapi.ollama import views as ollama
from webapi.openai import (
    batch_checks,
    batch_results,
    batches,
    chat,
    compacting,
    completions,
    conversations,
    embeddings,
    files,
    moderations,
    responses,
    stored,
    uploads,
    vector_store_files,
    vector_stores,
)
from webapi.plain import generate, rag
from webapi.plain import health as probe
from webapi.replicate import streams as prediction_streams
from webapi.replicate import views as predictions
from webapi.settings import Settings
from webapi.v1.documents import collections
from webapi.v1.documents import views as documents
from webapi.v1.documents.requests import IngestRequest
from webapi.v1.functions import views as functions
from webapi.v1.jobs import streams
from webapi.v1.jobs import views as jobs
from webapi.v1.jobs.conversation import TextPart
from webapi.v1.jobs.requests import KINDS
from webapi.v1.models import named
from webapi.v1.models import views as models
from webapi.v1.rerank import views as rerank
from webapi.v1.search import views as search
from webapi.v1.summaries import streams as summary_streams
from webapi.v1.summaries import views as summaries
from webapi.v1.summaries.requests import BringRequest, SummaryRequest
from webapi.v1.usage import views as usage
from webapi.v1.webhooks import views as webhooks

# In the order of the page.
_ROUTES = (
    jobs,
    streams,
    documents,
    collections,
    search,
    rerank,
    summaries,
    summary_streams,
    webhooks,
    functions,
    models,
    chat,
    stored,
    completions,
    embeddings,
    responses,
    compacting,
    moderations,
    files,
    uploads,
    batches,
    batch_checks,
    conversations,
    batch_results,
    messages,
    message_batches,
    vector_stores,
    vector_store_files,
    usage,
    generate,
    rag,
    ollama,
    ollama_models,
    predictions,
    prediction_streams,
    probe,
    health,
)

DOCS_PATH = "/docs"

_INTRODUCTION = """\
Ask for a job, get its id at once, follow it while a model works on it. What was accepted is never lost.

Every route but health wants `Authorization: Bearer fb_…`; a job's events can be read with a ticket instead.
Every error has one shape: `{"error": {"message", "type", "param", "code"}}`; but the head of a request that can't be
read (400, 414, 417, 431, 501) is answered in HTML, and the connection closed. Every other answer has an `X-Request-Id`:
the request's own, if that is 1 to 128 letters, digits and `._:-`, else one of ours.
"""

_CONFIGURATION: dict[str, Any] = {
    "MAX_CONTENT_LENGTH": 0,  # where a route doesn't say what it takes
    "API_TITLE": "Forebay",
    "API_VERSION": "v1",
    "OPENAPI_VERSION": "3.1.0",
    "OPENAPI_URL_PREFIX": "/",
    "API_SPEC_OPTIONS": {"info": {"description": _INTRODUCTION}, "security": [{"key": []}]},
}


def create_app(given: Settings | None = None) -> Flask:
    """The API; reads the environment only when called without settings. Connects when first asked something.

    Looks whether an operator's modules of functions can be used, where there are any.

    Raises `SettingsError` or `CatalogError`.
    """
    own = given or settings.read()
    serving = service.Service(own)
    if own.functions.modules:
        serving.toolbox.check()
    app = Flask(__name__, static_folder=None)
    app.config.update(_CONFIGURATION)
    equip(app, serving)
    requestlog.register(app)
    auth.register(app)
    cors.register(app, own.cors_origins)
    errors.register(app)
    service.register(app)
    app.url_map.converters["model"] = named.ModelName
    api = Api(app)
    _describe(api)
    for module in _ROUTES:
        api.register_blueprint(module.blueprint)
    app.add_url_rule("/", "root", lambda: redirect(f"{DOCS_PATH}/"))
    app.register_blueprint(get_swaggerui_blueprint(DOCS_PATH, "/openapi.json", {"app_name": "Forebay API"}))
    return app


def equip(app: Flask, serving: service.Service) -> None:
    """Has the app work with this from now on; nothing of what it knew before is kept."""
    app.extensions["forebay"] = serving
    app.extensions["forebay_probes"] = health.Probes(serving)
    app.extensions["forebay_keys"] = auth.KnownKeys()


def _describe(api: Api) -> None:
    """What the page says that no route says: key and ticket, the kinds of jobs."""
    api.spec.components.security_scheme("key", {"type": "http", "scheme": "bearer"})
    api.spec.components.security_scheme("ticket", {"type": "apiKey", "in": "query", "name": "ticket"})
    api.spec.components.schema("TextPart", schema=TextPart())
    api.spec.components.schema("IngestRequest", schema=IngestRequest())
    api.spec.components.schema("SummaryRequest", schema=SummaryRequest())
    api.spec.components.schema("BringRequest", schema=BringRequest())
    for kind in KINDS.values():
        api.spec.components.schema(type(kind).__name__, schema=kind)
        properties = api.spec.components.schemas[type(kind).__name__]["properties"]
        properties["metadata"] |= {"propertyNames": {"maxLength": 64, "pattern": r"^[^\x00]*$"}}
