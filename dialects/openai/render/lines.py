"""Lines of a batch's files: each is what its endpoint would have answered, or the error."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import structlog
from numpy.typing import NDArray

from dialects.anthropic.render import messages
from dialects.openai import errors
from dialects.openai.lines import MESSAGES
from dialects.openai.render import chat, completions, embeddings, moderations, responses
from dialects.openai.render.completions import Echo
from tasks import ids
from tasks.batches import batches
from tasks.batches.answers import ABOUT, REFUSED, LineAnswer
from tasks.errors import ForebayError
from tasks.jobs.lifecycle import Status
from tasks.jobs.view import JobView

log = structlog.get_logger(__name__)

# Lines that were ended with their batch, which say so themselves.
_ENDED = (batches.CANCELLED, batches.EXPIRED, batches.FAILED)
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


@dataclass(frozen=True, slots=True)
class Answered:
    """A line whose job has ended. `about` is what its answer is rendered by beyond it, `prompts` what it asked where
    that is told again, `vectors` are those that it made, and `made_by` is its model's fingerprint."""

    custom_id: str
    job: JobView
    about: Mapping[str, Any]
    prompts: tuple[str, ...] = ()
    vectors: NDArray[np.float32] | None = None
    made_by: str | None = None


def _chat(line: Answered) -> Mapping[str, Any]:
    return chat.completion(line.job, older=line.about.get("older", False), made_by=line.made_by)


def _completion(line: Answered) -> Mapping[str, Any]:
    echo = Echo(line.prompts, line.about["echo"]) if "echo" in line.about else Echo()
    return completions.completion(line.job, echo, line.made_by)


def _embedding(line: Answered) -> Mapping[str, Any]:
    assert line.vectors is not None
    about = line.about
    return embeddings.embeddings(line.job, line.vectors, about.get("encoding_format", "float"), about.get("dimensions"))


def _message(line: Answered) -> Mapping[str, Any]:
    return dict(messages.message(line.job))


def _moderation(line: Answered) -> Mapping[str, Any]:
    return moderations.moderations(line.job)


def _response_body(line: Answered) -> Mapping[str, Any]:
    return responses.response(line.job, line.about)


BODIES: Mapping[str, Callable[[Answered], Mapping[str, Any]]] = {
    "/v1/chat/completions": _chat,
    "/v1/completions": _completion,
    "/v1/embeddings": _embedding,
    MESSAGES: _message,
    "/v1/responses": _response_body,
    "/v1/moderations": _moderation,
}


def answered(line: LineAnswer, made_by: str | None) -> Answered:
    """The line, with what its job says of how it is told."""
    prompts = line.asked.get("prompts") or [line.asked.get("prompt", "")]
    return Answered(line.custom_id, line.job, line.params.get(ABOUT, {}), tuple(prompts), line.vectors, made_by)


def ended(endpoint: str, line: Answered) -> bytes:
    """The line of a request whose job has ended, however that was."""
    return succeeded(endpoint, line) if line.job.status == Status.SUCCEEDED else failed(line)


def succeeded(endpoint: str, line: Answered) -> bytes:
    """The line of a request that was answered. An answer that can't be told is that line's error, and no other's."""
    try:
        return _line(line.custom_id, line.job.id, _response(line, 200, BODIES[endpoint](line)), None)
    except Exception as error:  # the line's boundary: the others must come into their file whatever one of them has
        log.exception("answer_not_told", job_id=ids.show(line.job.id))
        body = errors.of(ForebayError.code, f"the answer can't be told: {type(error).__name__}", 500)
        return _line(line.custom_id, line.job.id, _response(line, 500, body), None)


def failed(line: Answered) -> bytes:
    """The line of a request that wasn't."""
    error = line.job.error
    if error is not None and error["code"] in _ENDED:
        return _line(line.custom_id, line.job.id, None, dict(error))
    if error is not None and REFUSED in line.about:
        status, refusal = errors.told(422, error["code"], error["message"], line.about[REFUSED])
        return _line(line.custom_id, line.job.id, _response(line, status, refusal), None)
    told = errors.Failed(line.job)
    body = errors.of(told.code, str(told), told.status)
    return _line(line.custom_id, line.job.id, _response(line, told.status, body), None)


def left_out(line: Answered, code: str, message: str) -> bytes:
    """The line of a request whose answer had no room in the output file."""
    return _line(line.custom_id, line.job.id, None, {"code": code, "message": message})


def unwritten(custom_id: str, batch_id: uuid.UUID, place: int, code: str, message: str) -> bytes:
    """The line of a request that was never made a job, since its batch ended before."""
    return _line(custom_id, ids.derived(batch_id, place), None, {"code": code, "message": message})


def _response(line: Answered, status: int, body: Mapping[str, Any]) -> dict[str, Any]:
    return {"status_code": status, "request_id": ids.show(line.job.id, ids.REQUEST), "body": body}


def _line(custom_id: str, job_id: uuid.UUID, response: dict[str, Any] | None, error: dict[str, Any] | None) -> bytes:
    told = {"id": ids.show(job_id, ids.LINE), "custom_id": custom_id, "response": response, "error": error}
    return orjson.dumps(told, option=_OPTIONS)
