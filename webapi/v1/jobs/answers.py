"""What clients are answered about jobs."""

import datetime as dt
from typing import Annotated, Literal, TypedDict

from dialects.named import JOB
from tasks import times
from tasks.jobs import lifecycle
from tasks.jobs.attempts import AttemptObject
from tasks.jobs.view import JobObject
from tasks.streams import events
from tasks.tickets import NewTicket
from tasks.times import Moment

# One server-sent event.
_RUN_EVENTS = tuple(
    event.type
    for event in (
        events.Started,
        events.Question,
        events.Passages,
        events.Delta,
        events.ToolCall,
        events.ToolResult,
        events.Progress,
        events.Resumed,
        events.Restarted,
    )
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


class Ticket(TypedDict):
    """What opens one job's events without a key."""

    object: Literal["ticket"]
    ticket: str
    job: str
    expires_at: Annotated[Moment, "Until then it is good."]


class JobInFull(JobObject):
    """One job with its attempts."""

    attempts: list[AttemptObject]


def ticket(made: NewTicket) -> Ticket:
    return {
        "object": "ticket",
        "ticket": made.ticket,
        "job": JOB.show(made.job_id),
        "expires_at": times.show(dt.datetime.fromtimestamp(made.expires_s, dt.UTC)),
    }
