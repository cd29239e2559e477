"""A line of a batch's file, read: which request of which endpoint it is, as the endpoint itself would read it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import marshmallow as ma

from dialects import plainjson
from dialects.anthropic.requests import messages
from dialects.fields import load
from dialects.openai import errors as told
from dialects.openai.requests import chat, completions, embeddings, moderations, responses
from dialects.wishes import Wishes
from tasks import errors
from tasks.batches.answers import ABOUT, REFUSED
from tasks.functions.toolbox import Toolbox
from tasks.jobs.requests import Plan, Request, Stored, Submission
from tasks.kinds import toolset
from tasks.kinds.embed import Embedding
from tasks.kinds.preceding import REFERENCE
from tasks.kinds.response import Asked
from tasks.models import catalog
from tasks.models.catalog import Catalog

MESSAGES = "/v1/messages"  # Anthropic's
MAX_ID = 512  # characters of a `custom_id`
MAX_INPUTS = 50_000  # texts of all lines of a batch for `/v1/embeddings`
_WISHES = Wishes(0, else_job=True, lane="batch")
_FIELDS = ("custom_id", "method", "url", "body")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What requests are read by: the models there are, and the server's own functions."""

    models: Catalog
    toolbox: Toolbox


@dataclass(frozen=True, slots=True)
class Line:
    """A request, its shape checked; `about` is what its answer is rendered by beyond its job, and `inputs` how many
    texts it has. `goes_on_from` is what it needs beyond the line: the field that says so, and what that names;
    `missing` says that there can be nothing of that name."""

    custom_id: str
    asked: Submission[Any]
    about: Mapping[str, Any]
    inputs: int
    goes_on_from: tuple[str, str] | None
    missing: errors.InvalidField | None = None

    def noted(self, plan: Plan) -> Plan:
        """The plan of its job, which keeps that too."""
        if not self.about:
            return plan
        return replace(plan, asked=replace(plan.asked, request=_Noted(plan.asked.request, self.about)))


class LineRefused(errors.InvalidField):
    """The line is wrong; the code says why, in OpenAI's words where it has one."""

    def __init__(self, code: str, field: str | None, message: str) -> None:
        super().__init__(field, message)
        self.code = code


Read = Callable[[dict[str, Any], Surroundings], tuple[Submission[Any], Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How its bodies are read: by which schema, with how many values at most, and what is made of them: a job of this
    type, and what its answer is rendered by beyond it."""

    type: str
    schema: ma.Schema
    values: int
    read: Read


def _chat(given: dict[str, Any], around: Surroundings) -> tuple[Submission[Any], Mapping[str, Any]]:
    served = toolset.tools(around.toolbox, given.get("server_functions", ()))
    return chat.submission(given, _WISHES, served), {"older": True} if "functions" in given else {}


def _completion(given: dict[str, Any], around: Surroundings) -> tuple[Submission[Any], Mapping[str, Any]]:
    del around
    return completions.submission(given, _WISHES), {"echo": given.get("n", 1)} if given.get("echo") else {}


def _embedding(given: dict[str, Any], around: Surroundings) -> tuple[Submission[Any], Mapping[str, Any]]:
    about: dict[str, Any] = {name: given[name] for name in ("encoding_format", "dimensions") if name in given}
    return embeddings.submission(given, _WISHES, around.models), about


def _message(given: dict[str, Any], around: Surroundings) -> tuple[Submission[Any], Mapping[str, Any]]:
    del around
    return messages.submission(given, _WISHES), {}


def _moderation(given: dict[str, Any], around: Surroundings) -> tuple[Submission[Any], Mapping[str, Any]]:
    del around
    return moderations.submission(given, _WISHES), {}


def _response(given: dict[str, Any], around: Surroundings) -> tuple[Submission[Any], Mapping[str, Any]]:
    """What the client said is kept once: nobody asks for a line's response by itself."""
    del around
    if given.get("background"):
        raise errors.Unsupported("background", "a line is answered in its batch's files, and can't be polled by itself")
    asked = responses.submission(given, _WISHES)
    return replace(asked, request=replace(asked.request, said={})), asked.request.told


ENDPOINTS: Mapping[str, Endpoint] = {
    "/v1/chat/completions": Endpoint("chat", chat.ChatCompletionRequest(), 50_000, _chat),
    "/v1/completions": Endpoint("generate", completions.CompletionRequest(), 50_000, _completion),
    "/v1/embeddings": Endpoint("embed", embeddings.EmbeddingRequest(), 400_000, _embedding),
    MESSAGES: Endpoint("chat", messages.AnthropicMessageRequest(), 50_000, _message),
    "/v1/responses": Endpoint("response", responses.ResponseRequest(), 50_000, _response),
    "/v1/moderations": Endpoint("moderate", moderations.ModerationRequest(), 50_000, _moderation),
}


def custom_id(raw: bytes, endpoint: str) -> str:
    """What a line that was found to be right is called."""
    return str(plainjson.parse(raw, ENDPOINTS[endpoint].values)["custom_id"])


def read(raw: bytes, endpoint: str, around: Surroundings) -> Line:
    """The request in a line of a batch for this endpoint. Raises `LineRefused`."""
    own = ENDPOINTS[endpoint]
    try:
        given = plainjson.parse(raw, own.values)
    except errors.Malformed as error:
        message = str(error).replace("the body", "the line", 1).replace(" at line 1, column", " at column", 1)
        raise LineRefused("invalid_json_line", error.field, message) from error
    name, body, missing = _frame(given, endpoint), given["body"], None
    try:
        try:
            asked, about = own.read(load(own.schema, body), around)
        except (errors.PreviousResponseMissing, errors.ConversationMissing) as error:
            body, missing = {name: body[name] for name in body if name != error.field}, error
            asked, about = own.read(load(own.schema, body), around)
    except errors.InvalidField as error:
        raise refused(error) from error
    inputs = len(asked.request.texts) if isinstance(asked.request, Embedding) else 1
    return Line(name, asked, about, inputs, _goes_on_from(asked.request), missing)


def _goes_on_from(request: Request) -> tuple[str, str] | None:
    if not isinstance(request, Asked):
        return None
    if request.previous is not None:
        return "previous_response_id", str(request.previous)
    if request.conversation is not None:
        return "conversation", str(request.conversation)
    referred = [str(item["id"]) for item in request.items if item["type"] == REFERENCE]
    return ("input", " ".join(referred)) if referred else None


def refused(error: errors.InvalidField) -> LineRefused:
    """What is wrong with a line's body, its field named as the line has it."""
    _, body = told.told(422, error.code, str(error), error.field)
    param = body["error"]["param"]
    return LineRefused(error.code, f"body.{param}" if param else "body", str(error))


def unanswerable(raw: bytes, endpoint: str, error: errors.InvalidField) -> Submission[Any]:
    """What is kept of a line that was found to be right and can't be answered: a job that asks nothing, and tells this
    error's field."""
    given = plainjson.parse(raw, ENDPOINTS[endpoint].values)
    model, field = given["body"].get("model"), error.field
    if isinstance(error, LineRefused) and field is not None:
        field = field.removeprefix("body").removeprefix(".")
    about = {REFUSED: field or None}
    named = model if isinstance(model, str) else catalog.CONTROL
    return Submission(ENDPOINTS[endpoint].type, named, _Noted(_Nothing(), about))


def _frame(given: Mapping[str, Any], endpoint: str) -> str:
    """The line's `custom_id`, once all that is around its body is as it should be. Raises `LineRefused`."""
    for name in _FIELDS:
        if given.get(name) is None:
            raise LineRefused("missing_required_parameter", name, f"the line has no {name}")
        if not isinstance(given[name], dict if name == "body" else str):
            wanted = "an object" if name == "body" else "a string"
            raise LineRefused("invalid_type", name, f"{name} must be {wanted}")
    named: str = given["custom_id"]
    if not 1 <= len(named) <= MAX_ID:
        raise LineRefused("invalid_value", "custom_id", f"must have 1 to {MAX_ID} characters")
    if unknown := next((name for name in given if name not in _FIELDS), None):
        raise LineRefused("unknown_parameter", unknown[:64], "a line has custom_id, method, url and body")
    if given["method"] != "POST":
        raise LineRefused("invalid_method", "method", "must be POST")
    if given["url"] != endpoint:
        raise LineRefused("invalid_url", "url", f"must be the batch's endpoint, {endpoint}")
    if given["body"].get("stream"):
        raise LineRefused("streaming_unsupported", "body.stream", "a line of a batch isn't streamed")
    return named


@dataclass(frozen=True, slots=True)
class _Nothing:
    """What is stored of a request that can't be asked: its file has it."""

    def to_json(self) -> Stored:
        return Stored({}, {})


@dataclass(frozen=True, slots=True)
class _Noted:
    """A request that is stored with what its answer is rendered by."""

    request: Request
    about: Mapping[str, Any]

    def to_json(self) -> Stored:
        stored = self.request.to_json()
        return Stored(stored.input, {**stored.params, ABOUT: dict(self.about)})
