"""About how many tokens a file of requests has, and how long it would take, as measured of late."""

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.orm import Session

from db import batch_results as table
from db import workers
from tasks.batches.surveys import Rate, Survey

_LEAST_TOKENS = 100  # measured, or the measure says nothing


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of what is asked of one model. `bytes_per_token` is measured where that could be (`rate`).

    `estimated_s` is None where no worker of the model has ended a job yet, or none lives.
    """

    model: str
    lines: int
    bytes: int
    bytes_per_token: float
    bytes_per_token_measured: bool
    prompt_tokens: int
    most_completion_tokens: int
    unbounded_lines: int
    answered_lines: int
    estimated_s: float | None

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def rate(session: Session, tenant_id: uuid.UUID, model: str) -> Rate:
    """Measured on the tenant's newest jobs, or on lines of its newest batches, where these have enough words."""
    for measured in (table.measured_words, table.measured_lines):
        size, tokens = measured(session, tenant_id, model)
        if tokens >= _LEAST_TOKENS:
            return Rate(round(size / tokens, 2), is_measured=True)
    return Rate()


def of(session: Session, survey: Survey, lease_s: float) -> list[Estimate]:
    """An estimate for each model that is asked."""
    return [_of_model(session, survey, model, lease_s) for model in survey.models]


def together(models: Sequence[Estimate]) -> float | None:
    """How long all takes, where that is known: models work beside each other."""
    known = [each.estimated_s for each in models if each.estimated_s is not None]
    return max(known) if known and len(known) == len(models) else None


def _of_model(session: Session, survey: Survey, model: str, lease_s: float) -> Estimate:
    asked = survey.models[model]
    strength = workers.strength(session, model, lease_s)
    known = bool(strength.slots) and strength.job_s is not None
    return Estimate(
        model=model,
        lines=asked.lines,
        bytes=asked.bytes,
        bytes_per_token=asked.rate.bytes_per_token,
        bytes_per_token_measured=asked.rate.is_measured,
        prompt_tokens=asked.rate.tokens(asked.bytes),
        most_completion_tokens=asked.most_completion_tokens,
        unbounded_lines=asked.unbounded,
        answered_lines=asked.answered,
        estimated_s=round((asked.lines - asked.answered) * (strength.job_s or 0) / strength.slots, 1)
        if known
        else None,
    )
