"""`/v1/chat/completions`, those that are stored: listed, looked at, noted on, erased."""

import re
from typing import Any, Literal, TypedDict

import marshmallow as ma
from flask import Response, request
from marshmallow import fields, validate

from dialects.fields import Given, Labels, Strict, within
from dialects.named import Named
from dialects.openai import answers
from dialects.openai.render import chat
from dialects.openai.render import messages as rendered
from dialects.openai.render.messages import StoredMessage
from tasks import errors as domain
from tasks.jobs import stored
from webapi import auth, service
from webapi.api import Blueprint, reply
from webapi.body import Limits
from webapi.openai import errors
from webapi.v1.jobs.requests import NAME

blueprint = Blueprint("stored", __name__, description="OpenAI's stored chat completions.")
errors.register(blueprint)

COMPLETION = Named("completion", chat.PREFIX)
_METADATA = re.compile(r"metadata\[(.{1,64})\]")


class Deleted(TypedDict):
    id: str
    object: Literal["chat.completion.deleted"]
    deleted: bool


class ChatCompletionList(TypedDict):
    object: Literal["list"]
    data: list[answers.ChatCompletion]
    first_id: str | None
    last_id: str | None
    has_more: bool


class ChatCompletionMessageList(TypedDict):
    object: Literal["list"]
    data: list[StoredMessage]
    first_id: str | None
    last_id: str | None
    has_more: bool


class PageQuery(Strict):
    after = fields.String(metadata={"description": "The last `id` of the page before."})
    limit = fields.Integer(load_default=20, validate=within(0, 100))
    order = fields.String(load_default="asc", validate=validate.OneOf(("asc", "desc")))


class ListQuery(PageQuery):
    model = fields.String(validate=NAME)
    metadata = fields.String(metadata={"description": "As `metadata[key]=value`, any number of times."})


class Update(Given):
    metadata = Labels(required=True, allow_none=True, metadata={"additionalProperties": {"type": "string"}})


@blueprint.route("/v1/chat/completions", methods=["GET"])
@blueprint.arguments(ListQuery, location="query", unknown=ma.EXCLUDE)  # `metadata[key]=value` is no field's name
@blueprint.response(200, ChatCompletionList)
@blueprint.answers(400, 401, 404, 414, 500, 503)
def browse(query: dict[str, Any]) -> Response:
    """List stored completions"""
    wanted = {"model": query.get("model"), "metadata": _noted(), "newest_first": query["order"] == "desc"}
    after = COMPLETION.parse(query["after"]) if "after" in query else None
    with service.current().sessions.begin() as session:
        found, more = stored.page(session, auth.caller(), query["limit"], after=after, **wanted)
    return _list([chat.completion(job) for job in found], more)


@blueprint.route("/v1/chat/completions/<completion_id>", methods=["GET"], parameters=[COMPLETION.in_path])
@blueprint.response(200, answers.ChatCompletion)
@blueprint.answers(401, 404, 500, 503)
def show(completion_id: str) -> Response:
    """Look at a stored completion"""
    with COMPLETION.sought(completion_id) as id, service.current().sessions.begin() as session:
        found = stored.get(session, auth.caller(), id)
    return reply(chat.completion(found))


@blueprint.route("/v1/chat/completions/<completion_id>", methods=["POST"], parameters=[COMPLETION.in_path])
@blueprint.takes(Limits(lambda own: 64 * 1024, values=200))  # noqa: ARG005 whatever the settings say
@blueprint.arguments(Update, example={"metadata": {"topic": "harbours"}})
@blueprint.response(200, answers.ChatCompletion)
@blueprint.answers(400, 401, 404, 413, 415, 500, 503)
def update(given: dict[str, Any], completion_id: str) -> Response:
    """Note something on a stored completion"""
    with COMPLETION.sought(completion_id) as id, service.current().sessions.begin() as session:
        job = stored.note(session, auth.caller(), id, given.get("metadata", {}))
    return reply(chat.completion(job))


@blueprint.route("/v1/chat/completions/<completion_id>", methods=["DELETE"], parameters=[COMPLETION.in_path])
@blueprint.response(200, Deleted)
@blueprint.answers(401, 404, 500, 503)
def delete(completion_id: str) -> Response:
    """Erase a stored completion

    The job that it is goes with it. What it cost stays in the ledger.
    """
    serving = service.current()
    with COMPLETION.sought(completion_id) as id:
        with serving.sessions.begin() as session:
            stored.get(session, auth.caller(), id)
        serving.desk.erase(auth.caller(), id)
    answer: Deleted = {"id": completion_id, "object": "chat.completion.deleted", "deleted": True}
    return reply(answer)


@blueprint.route("/v1/chat/completions/<completion_id>/messages", methods=["GET"], parameters=[COMPLETION.in_path])
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, ChatCompletionMessageList)
@blueprint.answers(400, 401, 404, 414, 500, 503)
def messages(query: dict[str, Any], completion_id: str) -> Response:
    """List what a stored completion was asked"""
    with COMPLETION.sought(completion_id) as id, service.current().sessions.begin() as session:
        asked = stored.messages(session, auth.caller(), id)
    told = rendered.messages(completion_id, asked)
    if query["order"] == "desc":
        told.reverse()
    if "after" in query:
        told = told[_place(told, query["after"]) + 1 :]
    return _list(told[: query["limit"]], len(told) > query["limit"])


def _list(data: Any, more: bool) -> Response:
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return reply({"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": more})


def _place(told: list[StoredMessage], after: str) -> int:
    """Where it stands. Raises `InvalidField`."""
    place = next((place for place, message in enumerate(told) if message["id"] == after), None)
    if place is None:
        raise domain.InvalidField("after", "names no message of this completion")
    return place


def _noted() -> dict[str, str]:
    """What `metadata[key]=value` in the query asks for."""
    pairs = ((_METADATA.fullmatch(name), value) for name, value in request.args.items())
    return {match[1]: value for match, value in pairs if match}
