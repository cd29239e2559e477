"""What a call's headers may say: how long to wait, and how the job is to be queued."""

import re
from typing import Any

import marshmallow as ma
from flask import request
from marshmallow import fields, validate
from werkzeug.http import parse_list_header

from dialects.wishes import Wishes
from tasks.jobs import timing
from tasks.jobs.requests import LANES
from tasks.jobs.timing import Timing

PATIENCE_S = 600.0  # OpenAI's client libraries wait as long, unless they say
_LONGER_S = 5.0  # than the client: that it has given up is seen, and an error just before would only be asked again
_DIGITS = re.compile(r"[0-9]{1,7}")


class Headers(ma.Schema):
    prefer = fields.String(
        data_key="Prefer",
        metadata={
            "description": "`respond-async`: answered with 202 and the job at once; `wait=N`: after N seconds, unless"
            " the job has ended by then (RFC 7240)."
        },
    )
    lane = fields.String(
        data_key="X-Forebay-Lane", validate=validate.OneOf(LANES), metadata={"description": "Before `service_tier`."}
    )
    priority = fields.Integer(
        data_key="X-Forebay-Priority", validate=validate.Range(0, 9), metadata={"description": "9 goes first."}
    )
    deadline_s = fields.Integer(
        data_key="X-Forebay-Deadline",
        validate=validate.Range(1, timing.MAX_DEADLINE_S),
        metadata={"description": "Seconds after its first start within which the job must have ended."},
    )


def wishes(headers: dict[str, Any], service_tier: str | None = None) -> Wishes:
    """What the headers say. A preference that can't be honoured is as if it weren't there (RFC 7240, section 2)."""
    wait_s, else_job = _preferred(headers.get("prefer", ""))
    lane = headers.get("lane") or ("batch" if service_tier == "flex" else "interactive")
    until = Timing(deadline_s=headers.get("deadline_s"))
    return Wishes(patience_s() if wait_s is None else wait_s, else_job, lane, headers.get("priority", 5), until)


def _preferred(header: str) -> tuple[float | None, bool]:
    """Seconds to wait, where they are said, and whether the job is answered after them."""
    named: dict[str, str] = {}
    for preference in parse_list_header(header):
        name, _, value = preference.partition(";")[0].partition("=")
        named.setdefault(name.strip().lower(), value.strip().strip('"'))
    wait = named.get("wait", "")
    if _DIGITS.fullmatch(wait):
        return min(float(wait), PATIENCE_S), True
    return (0.0, True) if "respond-async" in named else (None, False)


def patience_s() -> float:
    """A little longer than the client waits before it gives up."""
    said = request.headers.get("X-Stainless-Read-Timeout", "").partition(".")[0]
    return min(float(said) + _LONGER_S, PATIENCE_S) if _DIGITS.fullmatch(said) and int(said) else PATIENCE_S
