"""Answers in the plain dialect, whole and in pieces."""

from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

from dialects import sse
from dialects.openai.render.chat import waits
from tasks import ids
from tasks.documents.ranking import PassageObject
from tasks.jobs.lifecycle import Status
from tasks.jobs.view import JobView
from tasks.queues.places import Wait
from tasks.streams.events import Delta, Event, Passages
from webapi.plain import errors


class PlainGenerated(TypedDict):
    response: str


class RagAnswer(TypedDict):
    answer: str
    sources: Annotated[list[PassageObject], "The passages that the answer was made from, the likeliest first."]


class RagAccepted(TypedDict):
    """Texts that are to be ingested: `GET /v1/jobs/{job_id}` says how far that is."""

    job_id: str
    status: Annotated[str, "`queued`; another where its key has a job already."]
    collection: str
    document_ids: Annotated[list[str], "In the order of the texts."]


def generated(job: JobView) -> PlainGenerated:
    return {"response": _result(job)["text"]}


def answered(job: JobView) -> RagAnswer:
    result = _result(job)
    return {"answer": result["text"], "sources": result["passages"]}


def accepted(job: JobView, collection: str, documents: list[str]) -> RagAccepted:
    return {"job_id": ids.show(job.id), "status": job.status, "collection": collection, "document_ids": documents}


def _result(job: JobView) -> dict[str, Any]:
    assert job.result is not None
    return job.result


@dataclass(slots=True)
class Pieces:
    """`calls.Rendering`: each piece as an object with one member of this name, an empty object at the end."""

    name: str
    mimetype: str = "text/event-stream"

    def event(self, choice: int, event: Event) -> bytes:
        del choice
        match event:
            case Delta():
                return sse.event({self.name: event.text})
            case Passages():
                return sse.event({"sources": event.passages})
        return b""

    def choice_ended(self, choice: int, job: JobView) -> bytes:
        del choice, job
        return b""

    def ended(self, job: JobView) -> bytes:
        return sse.event({} if job.status == Status.SUCCEEDED else errors.of(job))

    def waiting(self, wait: Wait | None) -> bytes:
        return sse.comment(waits(wait))

    def failed(self, code: str, message: str) -> bytes:
        return sse.event(errors.within(code, message))
