"""`/v1/responses`: asked for, looked at, ended, erased."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from flask import Response
from marshmallow import fields, validate

from dialects import sse
from dialects.fields import IdempotencyHeader, within
from dialects.named import RESPONSE
from dialects.openai.render import response_events
from dialects.openai.render import response_shapes as shapes
from dialects.openai.render import responses as rendered
from dialects.openai.render.items import shown
from dialects.openai.render.response_stream import Stream
from dialects.openai.requests.included import IncludeQuery, included
from dialects.openai.requests.responses import (
    InputTokensRequest,
    ResponseRequest,
    count,
    submission,
)
from tasks import errors as domain
from tasks.doors import retelling
from tasks.jobs import responses
from tasks.jobs.responses import Found
from tasks.jobs.view import JobView
from webapi import auth, calls, service, shaping
from webapi import shapes as schemas
from webapi.api import Blueprint, reply
from webapi.body import Limits
from webapi.calls import Call
from webapi.openai import creating, errors, headers
from webapi.openai.headers import Headers

blueprint = Blueprint("responses", __name__, description="OpenAI's responses, each a job.")
errors.register(blueprint)

LIMITS = Limits(lambda own: own.max_body_bytes, values=50_000)


def _events(said: str) -> Callable[[Any], Any]:
    """Says on the page that a route may answer with events. Below `response`, whose word it has."""
    blueprint.shapes.append(shapes.ResponseEvent)
    data = {"anyOf": [{**sse.JSON, "contentSchema": schemas.reference(shapes.ResponseEvent)}]}
    event = sse.described("An event, named by its type.", data)
    decorate: Callable[[Any], Any] = blueprint.alt_response(
        200, event, content_type="text/event-stream", description=said
    )
    return decorate


class RetrieveQuery(IncludeQuery):
    include_obfuscation = fields.Boolean(metadata={"description": "Read and not heeded: nothing is padded."})
    stream = fields.Boolean(metadata={"description": "Its events, from the first or after one."})
    starting_after = fields.Integer(
        validate=within(0, 2**31 - 1),
        metadata={"description": "The `sequence_number` of the last event one has; without `stream`, not heeded."},
    )


class ItemsQuery(IncludeQuery):
    after = fields.String(metadata={"description": "The last `id` of the page before."})
    limit = fields.Integer(load_default=20, validate=within(0, 100))
    order = fields.String(load_default="desc", validate=validate.OneOf(("asc", "desc")))


@blueprint.route("/v1/responses", methods=["POST"])
@blueprint.takes(LIMITS)
@blueprint.arguments(ResponseRequest)
@blueprint.arguments(Headers, location="headers")
@blueprint.arguments(IdempotencyHeader, location="headers")
@blueprint.response(200, shapes.Response)
@_events("The response; with `stream`, its events as server-sent events.")
@creating.documented(blueprint)
@blueprint.answers(400, 401, 404, 408, 409, 413, 414, 415, 500, 503)
def create(given: dict[str, Any], said: dict[str, Any], once: dict[str, str]) -> Response:
    """Have a conversation's next turn made

    As OpenAI's clients ask it. With `background` it is answered at once, and made whatever dies; else the answer waits.
    """
    wishes = headers.wishes(said, given.get("service_tier"))
    asked = submission(given, wishes)
    shaping.refuse_bad_schemas(asked.request.answer, "text.format.schema", "tools", "parameters")
    told, streams = asked.request.told, creating.streams(given, wishes)
    if given.get("background"):  # nobody has to wait for it
        wishes = replace(wishes, wait_s=wishes.wait_s if streams else 0.0, else_job=True)
    call = creating.begin(asked, given, once, wishes)
    if streams:
        return _streamed(call, told)
    if given.get("background"):
        return reply(rendered.response(call.job, told))
    return creating.answered(call, wishes, lambda job: rendered.response(job, told))


@blueprint.route("/v1/responses/input_tokens", methods=["POST"])
@blueprint.takes(LIMITS)
@blueprint.arguments(InputTokensRequest)
@blueprint.arguments(Headers, location="headers")
@blueprint.arguments(IdempotencyHeader, location="headers")
@blueprint.response(200, shapes.InputTokens)
@creating.documented(blueprint)
@blueprint.answers(400, 401, 404, 408, 409, 413, 414, 415, 500, 503)
def input_tokens(given: dict[str, Any], said: dict[str, Any], once: dict[str, str]) -> Response:
    """Count the tokens that a response's model would read

    Exactly, as its worker does it: a job that costs no tokens.
    """
    wishes = headers.wishes(said)
    call = creating.begin(count(given, wishes), given, once, wishes)
    return creating.answered(call, wishes, _counted)


def _counted(job: JobView) -> shapes.InputTokens:
    assert job.result is not None
    return {"object": "response.input_tokens", "input_tokens": job.result["input_tokens"]}


@blueprint.route("/v1/responses/<response_id>", methods=["GET"], parameters=[RESPONSE.in_path])
@blueprint.arguments(RetrieveQuery, location="query")
@blueprint.response(200, shapes.Response)
@_events("The response; with `stream`, its events, which have happened and which will.")
@blueprint.answers(400, 401, 404, 414, 500, 503)
def show(query: dict[str, Any], response_id: str) -> Response:
    """Look at a response, or read its events

    During the run and after it, at any process: events have the numbers that they were first told with. An `error`
    event says that events which the reader has were lost, and that others may have their numbers now. What
    `include` named when the response was asked for is told too.
    """
    found, after = _found(response_id), query.get("starting_after")
    found = replace(found, said={**found.said, "include": included(query).union(found.said.get("include", ()))})
    if query.get("stream"):
        return _streamed(calls.known(found.job), found.said, -1 if after is None else after)
    return reply(_rendered(found))


@blueprint.route("/v1/responses/<response_id>/cancel", methods=["POST"], parameters=[RESPONSE.in_path])
@blueprint.response(200, shapes.Response)
@blueprint.answers(400, 401, 404, 500, 503)
def cancel(response_id: str) -> Response:
    """End a response that is made in the background

    One that has ended stays as it is: asking again changes nothing.
    """
    found = _found(response_id)
    if not found.said.get("background"):
        raise domain.InvalidField("response_id", "only a response in the background can be cancelled")
    service.current().desk.cancel(auth.caller(), found.job.id)
    return reply(_rendered(_found(response_id)))


@blueprint.route("/v1/responses/<response_id>", methods=["DELETE"], parameters=[RESPONSE.in_path])
@blueprint.response(200, shapes.ResponseDeleted)
@blueprint.answers(401, 404, 500, 503)
def delete(response_id: str) -> Response:
    """Erase a response

    One that hasn't ended is cancelled first. The job that it is goes with it; what it cost stays in the ledger. So do
    its words in its conversation, and in each response that went on from it.
    """
    found, serving = _found(response_id), service.current()
    if not found.job.ended:
        serving.desk.cancel(auth.caller(), found.job.id)
    serving.desk.erase(auth.caller(), found.job.id)
    answer: shapes.ResponseDeleted = {"id": response_id, "object": "response", "deleted": True}
    return reply(answer)


@blueprint.route("/v1/responses/<response_id>/input_items", methods=["GET"], parameters=[RESPONSE.in_path])
@blueprint.arguments(ItemsQuery, location="query")
@blueprint.response(200, shapes.ResponseItemList)
@blueprint.answers(400, 401, 404, 414, 500, 503)
def input_items(query: dict[str, Any], response_id: str) -> Response:
    """List what a response was asked

    Its own items, not those of the response that it goes on from.
    """
    found = _found(response_id)
    told = [shown(item, included(query)) for item in responses.inputs(found.job.id, found.items)]
    if query["order"] == "desc":
        told.reverse()
    if "after" in query:
        told = told[_place(told, query["after"]) + 1 :]
    data = told[: query["limit"]]
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    more = len(told) > query["limit"]
    return reply({"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": more})


def _streamed(call: Call, said: Mapping[str, Any], after: int = -1) -> Response:
    stream = Stream(call.job, said, after)
    return calls.streamed(call, stream, opening=stream.opening(), steps=retelling.steps)


def _place(told: list[dict[str, Any]], after: str) -> int:
    """Where it stands. Raises `InvalidField`."""
    place = next((place for place, item in enumerate(told) if item["id"] == after), None)
    if place is None:
        raise domain.InvalidField("after", "names no item of this response")
    return place


def _found(response_id: str) -> Found:
    with RESPONSE.sought(response_id) as id, service.current().sessions.begin() as session:
        return responses.get(session, auth.caller(), id)


def _rendered(found: Found) -> shapes.Response:
    output = response_events.output(found.job, found.said, found.so_far)
    return rendered.response(found.job, found.said, output)
