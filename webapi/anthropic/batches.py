"""`/v1/messages/batches`."""

import uuid
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from flask import Response, request, stream_with_context
from sqlalchemy.orm import Session

from dialects import sse
from dialects.anthropic.render import batches as rendered
from dialects.anthropic.render.batches import DeletedMessageBatch, MessageBatch, MessageBatchList
from dialects.anthropic.requests import batches as requests
from dialects.fields import IdempotencyHeader
from dialects.named import MESSAGE_BATCH
from dialects.openai.lines import MESSAGES
from tasks import kinds
from tasks.batches import batches, results
from tasks.batches.batches import BatchView, NewBatch
from tasks.errors import Conflict, NotFound
from tasks.files import files
from tasks.jobs.requests import Plan, Submission
from tasks.kinds.batch import BatchRequest
from webapi import auth, requestlog, service
from webapi.anthropic import errors, receiving
from webapi.api import Blueprint, reply
from webapi.v1.jobs.accepting import wanted_once

blueprint = Blueprint("message batches", __name__, description="Anthropic's batches: many messages, each a job.")
errors.register(blueprint)

_WINDOW, _WINDOW_S = "24h", 86_400
_LINE = {"type": "string", "description": 'A line a request: `{"custom_id", "result"}`.'}


@blueprint.route("/v1/messages/batches", methods=["POST"])
@blueprint.takes(receiving.LIMITS)
@blueprint.doc(requestBody=requests.BODY)
@blueprint.arguments(IdempotencyHeader, location="headers")
@blueprint.response(200, MessageBatch)
@blueprint.answers(400, 401, 404, 409, 413, 414, 415, 500, 503)
def create(once: dict[str, str]) -> Response:
    """Have many messages made

    Each request is checked as it comes, and nothing is accepted unless all are right. They wait in the batch lane, for
    a day at most. 409 where a tenant keeps as many bytes as it may, unless its key is of a batch that is there.
    """
    serving, caller = service.current(), auth.caller()
    with receiving.received(may_be_known="key" in once) as received:

        def make(session: Session) -> Plan:
            file_id = received.file_id()
            new = NewBatch(MESSAGES, file_id, _WINDOW, _WINDOW_S, lines=received.lines, owns_input=True)
            asked = Submission(batches.KIND, None, BatchRequest(new), lane="batch")
            return kinds.plan(session, serving.catalog, caller, asked)

        job, _ = serving.desk.accept(caller, make, wanted_once(once, MESSAGES, received.digest))
    requestlog.about_job(job.id)
    return _shown(job.id)


@blueprint.route("/v1/messages/batches", methods=["GET"])
@blueprint.arguments(requests.MessageBatchListQuery, location="query")
@blueprint.response(200, MessageBatchList)
@blueprint.answers(400, 401, 414, 500, 503)
def browse(query: dict[str, Any]) -> Response:
    """List batches of messages"""
    serving, counting = service.current(), service.current().counting
    where = {"limit": query["limit"], "after": query.get("after_id"), "before": query.get("before_id")}
    with serving.sessions.begin() as session:
        found, more = batches.page_for(session, auth.caller(), MESSAGES, **where, counting=counting)
        tallies = [batches.tally(session, batch, counting) for batch in found]
    data = [rendered.batch(batch, tally, request.url_root) for batch, tally in zip(found, tallies, strict=True)]
    return reply(rendered.listed(data, more))


@blueprint.route("/v1/messages/batches/<message_batch_id>", methods=["GET"], parameters=[MESSAGE_BATCH.in_path])
@blueprint.response(200, MessageBatch)
@blueprint.answers(401, 404, 500, 503)
def show(message_batch_id: str) -> Response:
    """Look at a batch of messages"""
    with MESSAGE_BATCH.sought(message_batch_id) as id:
        return _shown(id)


@blueprint.route("/v1/messages/batches/<message_batch_id>/cancel", methods=["POST"], parameters=[MESSAGE_BATCH.in_path])
@blueprint.response(200, MessageBatch)
@blueprint.answers(401, 404, 500, 503)
def cancel(message_batch_id: str) -> Response:
    """Cancel a batch of messages

    What was answered stays. One that ends already is left to that.
    """
    serving, caller = service.current(), auth.caller()
    with MESSAGE_BATCH.sought(message_batch_id) as id:
        with serving.sessions.begin() as session:
            _found(session, id)
        serving.desk.cancel_batch(caller, id)
        return _shown(id)


@blueprint.route("/v1/messages/batches/<message_batch_id>", methods=["DELETE"], parameters=[MESSAGE_BATCH.in_path])
@blueprint.response(200, DeletedMessageBatch)
@blueprint.answers(401, 404, 409, 500, 503)
def delete(message_batch_id: str) -> Response:
    """Delete a batch of messages

    One that has ended, with all its requests and answers, and the files that were made of them. Cancel others first.
    A file that was sent for it stays; as does one that another batch is of. Cut off, it is to be asked for again.
    """
    serving, caller = service.current(), auth.caller()
    with MESSAGE_BATCH.sought(message_batch_id) as id:
        with serving.sessions.begin() as session:
            if _found(session, id).ended_at is None:
                raise Conflict("the batch hasn't ended: cancel it first")
            file_ids = batches.own_files(session, caller, id)
        serving.rest()
        for file_id in file_ids:  # only the batch knows of them, so they go first
            with suppress(NotFound):
                files.delete(serving.stores, caller, file_id)
        serving.desk.erase(caller, id)
    answer: DeletedMessageBatch = {"id": message_batch_id, "type": "message_batch_deleted"}
    return reply(answer)


@blueprint.route("/v1/messages/batches/<message_batch_id>/results", methods=["GET"], parameters=[MESSAGE_BATCH.in_path])
@blueprint.response(200, _LINE, content_type="application/x-jsonl")
@blueprint.answers(401, 404, 409, 500, 503)
def results_(message_batch_id: str) -> Response:
    """Read what a batch's requests came to

    Once it has ended, in the order in which they did.
    """
    serving, caller = service.current(), auth.caller()
    with MESSAGE_BATCH.sought(message_batch_id) as id, serving.sessions.begin() as session:
        if _found(session, id).ended_at is None:
            raise Conflict("the batch hasn't ended: its results aren't there yet")
        batch = results.look(session, caller, id, serving.counting)
    serving.readers.take(caller.tenant_id)
    told = stream_with_context(_lines(batch))
    response = Response(told, mimetype="application/x-jsonl", headers=sse.HEADERS)
    serving.rest()
    response.call_on_close(partial(serving.readers.give_back, caller.tenant_id))
    return response


def _lines(batch: BatchView) -> Iterator[bytes]:
    serving, caller, after, more = service.current(), auth.caller(), 0, True
    while more:
        with serving.sessions.begin() as session:
            found = results.page(session, batch.id, after, results.AT_ONCE)
        for result in found:
            after = result.number
            yield rendered.line(result.line)
        more = bool(found)
    for _, written in results.unrun(serving.stores, caller, batch, after):
        yield rendered.unrun(written)


def _found(session: Session, id: uuid.UUID) -> BatchView:
    """The tenant's batch of messages. Raises `NotFound`, for other batches too."""
    found = batches.get(session, auth.caller(), id, service.current().counting)
    if found.endpoint != MESSAGES:
        raise NotFound("no such batch")
    return found


def _shown(id: uuid.UUID) -> Response:
    serving = service.current()
    with serving.sessions.begin() as session:
        found = _found(session, id)
        tally = batches.tally(session, found, serving.counting)
    return reply(rendered.batch(found, tally, request.url_root))
