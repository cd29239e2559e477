"""Jobs accepted: from what is asked to a row that is never lost."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from tasks.jobs import jobs, stages
from tasks.jobs.requests import Plan, Submission
from tasks.jobs.view import JobView
from tasks.keys import Caller
from tasks.models import choosing
from tasks.models.catalog import Catalog, Model


def submit(session: Session, models: Catalog, caller: Caller, submission: Submission) -> JobView:
    """Accepts a job that one model serves. See `jobs.insert` for what follows.

    Raises `ModelUnknown`, `PromptTooLong`, and `InvalidField` for its times.
    """
    model = choosing.model_for(models, submission.type, submission.model)
    _refuse_what_cannot_fit(model, submission.input)
    stage = stages.first(submission.type, submission.input)
    return jobs.insert(session, caller, Plan(submission, stage, model.name, model.name))


def _refuse_what_cannot_fit(model: Model, given: Mapping[str, Any]) -> None:
    if "prompt" in given:
        choosing.refuse_what_cannot_fit(model, "input.prompt", given["prompt"])
    elif "messages" in given:
        choosing.refuse_what_cannot_fit(model, "input.messages", *(message["content"] for message in given["messages"]))
    else:
        for number, text in enumerate(given["texts"]):
            choosing.refuse_what_cannot_fit(model, f"input.texts.{number}", text)
