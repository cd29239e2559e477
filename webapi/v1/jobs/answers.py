"""What clients are answered about jobs."""

import marshmallow as ma
from marshmallow import fields, validate

from db.jobs import LANES
from tasks import kinds
from tasks.jobs import lifecycle
from tasks.jobs.lifecycle import Status
from tasks.streams import events

SHOWN = tuple(dict.fromkeys(lifecycle.shown(status) for status in Status))

# One server-sent event.
_RUN_EVENTS = tuple(
    event.type
    for event in (events.Started, events.Passages, events.Delta, events.Progress, events.Resumed, events.Restarted)
)
EVENT = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "`<attempt>-<number>`; the numbers count from 1 across attempts."},
        "event": {"type": "string", "enum": ["queued", *_RUN_EVENTS, *sorted(lifecycle.TERMINAL)]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "data"],
}


def _time(description: str, *, allow_none: bool = True) -> fields.DateTime:
    return fields.DateTime(required=True, allow_none=allow_none, metadata={"description": description})


class Ticket(ma.Schema):
    """What opens one job's events without a key."""

    object = fields.String(required=True, metadata={"enum": ["ticket"]})
    ticket = fields.String(required=True)
    job = fields.String(required=True)
    expires_at = _time("Until then it is good.", allow_none=False)


class Progress(ma.Schema):
    """How much is done: tokens of the prompt, texts to embed, bytes of the documents to ingest."""

    done = fields.Integer(required=True)
    total = fields.Integer(required=True)


class JobError(ma.Schema):
    code = fields.String(required=True)
    message = fields.String(required=True)


class Usage(ma.Schema):
    prompt_tokens = fields.Integer(required=True)
    completion_tokens = fields.Integer(required=True)
    embedding_tokens = fields.Integer(metadata={"description": "Of a `rag` job: what the search for passages took."})


class Links(ma.Schema):
    self = fields.String(required=True)
    events = fields.String(required=True)
    cancel = fields.String(required=True)
    retry = fields.String(required=True)


class Job(ma.Schema):
    """One job. `tasks.jobs.view` renders it; this says what can be relied on."""

    id = fields.String(required=True)
    object = fields.String(required=True, validate=validate.Equal("job"), metadata={"enum": ["job"]})
    type = fields.String(required=True, validate=validate.OneOf(tuple(kinds.KINDS)))
    model = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf(SHOWN))
    lane = fields.String(required=True, validate=validate.OneOf(LANES))
    priority = fields.Integer(required=True)
    created_at = _time("When it was accepted.", allow_none=False)
    started_at = _time("When it was first claimed.")
    finished_at = _time("When it ended.")
    run_at = _time("It starts no earlier.")
    expires_at = _time("It is expired unless it has started by then.")
    deadline_s = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Seconds from its first start to its end, at most."}
    )
    retry_of = fields.String(
        required=True, allow_none=True, metadata={"description": "The job of which this is a retry."}
    )
    position = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "About how many go first, counted to 1000; asked of one waiting job, else null."},
    )
    attempt = fields.Integer(required=True, metadata={"description": "Runs so far, and ends from outside."})
    progress = fields.Nested(Progress, required=True, allow_none=True)
    result = fields.Dict(
        required=True,
        allow_none=True,
        metadata={
            "description": "`generate`: text, finish_reason. `chat`: message (role, content), finish_reason. `embed`:"
            " embeddings, dimensions; in lists and events a link instead. `rag`: text, finish_reason, passages."
            " `ingest`: collection, documents, chunks."
        },
    )
    error = fields.Nested(JobError, required=True, allow_none=True)
    usage = fields.Nested(Usage, required=True, allow_none=True)
    metadata = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    links = fields.Nested(Links, required=True)


class Attempt(ma.Schema):
    """One run of the job by one worker."""

    number = fields.Integer(required=True)
    worker = fields.String(required=True)
    model = fields.String(required=True)
    stage = fields.String(required=True)
    started_at = _time("When it was claimed.", allow_none=False)
    ended_at = _time("When it ended, or was found to have.")
    how = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "`succeeded`, `failed` (another follows where the fault is the system's), `cancelled`;"
            " `lost` with its worker; `taken` from one that was silent and came back; `handed_back` by a worker that"
            " went; `passed_on` to the next stage, or to go on later with the same. Null while it runs."
        },
    )
    error_code = fields.String(required=True, allow_none=True)


class JobInFull(Job):
    """One job with its attempts."""

    attempts = fields.List(fields.Nested(Attempt), required=True)
