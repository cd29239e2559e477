"""Jobs as renderers are given them."""

import datetime as dt
import uuid
from dataclasses import replace
from typing import Any

from tasks.jobs.lifecycle import Status
from tasks.jobs.view import JobView
from tasks.limits.spent import Spent

ID = uuid.UUID("01a21a70-2322-77a2-a65c-adac254ed11d")
JOB = JobView(
    id=ID,
    tenant_id=ID,
    type="chat",
    model="m",
    queue="m",
    status=Status.QUEUED,
    lane="interactive",
    priority=5,
    attempt=1,
    created_at=dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
    started_at=None,
    finished_at=None,
    progress=None,
    result=None,
    error=None,
    spent=Spent(),
    metadata={},
    run_at=None,
    expires_at=None,
    deadline_s=None,
    retry_of=None,
)


def said(text: str | None, reason: str = "stop", **more: Any) -> dict[str, Any]:
    """The result of a chat."""
    return {"message": {"role": "assistant", "content": text, **more}, "finish_reason": reason}


def answered(result: dict[str, Any] | None = None, **changes: Any) -> JobView:
    """A job that has succeeded."""
    spent = Spent(prompt=7, completion=5, cached=3)
    return replace(JOB, status=Status.SUCCEEDED, result=result or said("Hi"), spent=spent, **changes)


def failed(code: str, status: Status = Status.FAILED) -> JobView:
    return replace(JOB, status=status, error={"code": code, "message": f"because of {code}"})
