"""Summaries over HTTP: asked for, looked at, read as they come, asked for again."""

from typing import Any

from flask import Response, request
from sqlalchemy.orm import Session

from dialects.fields import IdempotencyHeader, timing_of
from dialects.named import SUMMARY
from tasks import kinds
from tasks.documents import ingest, library
from tasks.documents.ingest import NewDocument
from tasks.doors import retrying
from tasks.jobs.requests import Plan, Submission
from tasks.jobs.view import JobObject
from tasks.kinds import summary as kind
from tasks.kinds.summary import Summary
from tasks.summaries import estimates, results
from tasks.summaries.manner import Manner
from tasks.summaries.results import Result
from webapi import auth, service
from webapi.api import Blueprint, reply
from webapi.body import Limits
from webapi.v1.documents import answers as documents
from webapi.v1.jobs.accepting import REPLAYED, accept, named_webhook, wanted_once
from webapi.v1.paging import List, paged
from webapi.v1.summaries import answers, requests
from webapi.v1.summaries.bringing import brought

blueprint = Blueprint("summaries", __name__, description="Documents put into few words, one by one and together.")

_LOCATION = {"Location": {"description": "The summary.", "schema": {"type": "string"}}}
_JSON, _FORM = requests.SummaryRequest(), requests.UploadedSummary()
_BRING, _ABOUT = requests.BringRequest(), requests.About()
_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/SummaryRequest"},
            "example": requests.EXAMPLE,
        },
        "multipart/form-data": {"schema": requests.UPLOAD},
    },
}
_BROUGHT = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/BringRequest"},
            "example": requests.BRING_EXAMPLE,
        },
        "multipart/form-data": {"schema": requests.BRING_UPLOAD},
    },
}


@blueprint.route("/v1/summaries", methods=["POST"])
@blueprint.takes(Limits(lambda own: own.max_upload_bytes, values=30_000))
@blueprint.arguments(IdempotencyHeader, location="headers")
@blueprint.doc(requestBody=_BODY)
@blueprint.response(202, JobObject, headers=_LOCATION | REPLAYED, description="Accepted: it will not be lost.")
@blueprint.alt_response(200, answers.SummaryEstimate, description="Of a `dry_run`.")
@blueprint.answers(400, 401, 413, 414, 415, 422, 500, 503)
def summarise(headers: dict[str, str]) -> Response:
    """Have documents summarised

    Those that are named, a collection, texts as JSON, or files as a form. The answer is a job of the batch lane;
    `GET /v1/summaries/{summary_id}/results` has each document's summary as soon as it is there. Texts and files become
    documents without a collection: they are listed and can be deleted, and no search finds them.
    """
    fields = {"objects": requests.OBJECTS, "numbers": requests.NUMBERS, "flags": requests.FLAGS}
    with brought(request, _JSON, _FORM, **fields) as (given, new):
        asked = _asked(given, new)
        if given.get("dry_run"):
            return _estimated(given, asked)
        about = {name: value for name, value in given.items() if name != "texts"}
        wanted = wanted_once(headers, "summaries", about, [document.fingerprint for document in new])
        return accept(wanted, lambda session: _plan(session, given, asked))


@blueprint.route("/v1/summaries/documents", methods=["POST"])
@blueprint.takes(Limits(lambda own: own.max_upload_bytes, values=2_000))
@blueprint.doc(requestBody=_BROUGHT)
@blueprint.response(201, List[documents.Document], description="They wait for a summary that names them.")
@blueprint.answers(400, 401, 413, 415, 422, 500, 503)
def bring() -> Response:
    """Bring documents to be summarised later

    For more of them than one request can hold: the summary names them by their ids. What no summary asks for
    within a week is deleted.
    """
    with brought(request, _BRING, _ABOUT, objects=("metadata",)) as (_, new), service.current().sessions.begin() as own:
        made = ingest.add(own, auth.caller().tenant_id, None, None, new)
        told = [documents.document(library.get(own, auth.caller(), document_id)) for document_id in made]
    answer: List[documents.Document] = {"object": "list", "data": told, "next": None}
    return reply(answer, 201)


@blueprint.route("/v1/summaries/<summary_id>", methods=["GET"], parameters=[SUMMARY.in_path])
@blueprint.response(200, answers.Summary)
@blueprint.answers(401, 404, 500, 503)
def show(summary_id: str) -> Response:
    """Look at a summary"""
    with SUMMARY.sought(summary_id) as sought, service.current().sessions.begin() as session:
        found = results.look(session, auth.caller(), sought)
    return reply(answers.summary(found))


@blueprint.route("/v1/summaries/<summary_id>/results", methods=["GET"], parameters=[SUMMARY.in_path])
@blueprint.arguments(requests.ResultsQuery, location="query")
@blueprint.response(200, List[answers.SummaryResult])
@blueprint.answers(401, 404, 414, 422, 500, 503)
@paged(answers.result, after=lambda result: str(result.number))
def browse(query: dict[str, Any], summary_id: str) -> tuple[list[Result], bool]:
    """List what has come of a summary's documents, in the order in which it came

    Those that failed too. While the summary runs there may be more after the last page: ask again after its last
    `number`.
    """
    with SUMMARY.sought(summary_id) as sought, service.current().sessions.begin() as session:
        return results.page(session, auth.caller(), sought, **query)


@blueprint.route("/v1/summaries/<summary_id>/retry", methods=["POST"], parameters=[SUMMARY.in_path])
@blueprint.arguments(IdempotencyHeader, location="headers")
@blueprint.response(202, JobObject, headers=_LOCATION | REPLAYED, description="Accepted: it will not be lost.")
@blueprint.answers(401, 404, 409, 414, 422, 500, 503)
def retry(headers: dict[str, str], summary_id: str) -> Response:
    """Ask again for a summary that has ended

    A new one of the same documents: the steps that were taken cost nothing, so that only what failed is done again.
    """
    models, caller = service.current().catalog, auth.caller()
    wanted = wanted_once(headers, "summaries.retry", summary_id)
    with SUMMARY.sought(summary_id) as sought:

        def plan(session: Session) -> Plan:
            results.find(session, caller, sought)
            return retrying.plan(session, models, caller, sought)

        return accept(wanted, plan)


def _asked(given: dict[str, Any], new: list[NewDocument]) -> Summary:
    manner = Manner(
        style=given.get("style", "brief"),
        instruction=given.get("instruction"),
        words=given.get("words"),
        sentences=given.get("sentences"),
        language=given.get("language"),
    )
    named = tuple(given.get("documents", ()))
    return Summary(manner, named, given.get("collection"), tuple(new), given.get("combine", False))


def _plan(session: Session, given: dict[str, Any], asked: Summary) -> Plan:
    submission = Submission(
        type=kind.NAME,
        model=given.get("model"),
        request=asked,
        lane="batch",
        priority=given.get("priority", 5),
        metadata=given.get("metadata", {}),
        timing=timing_of(given),
        webhook=named_webhook(session, given),
    )
    return kinds.plan(session, service.current().catalog, auth.caller(), submission)


def _estimated(given: dict[str, Any], asked: Summary) -> Response:
    model = kind.model_for(service.current().catalog, given.get("model"))
    with service.current().sessions.begin() as session:
        sizes = estimates.sizes(session, auth.caller(), asked.documents, asked.collection, asked.new)
        found = estimates.of(session, model, asked.manner, sizes, combine=asked.combine)
    return reply(answers.estimate(found))
