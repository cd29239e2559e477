"""Judged texts as OpenAI tells them."""

from typing import Annotated, Any, TypedDict

from tasks import ids
from tasks.jobs.view import JobView
from tasks.kinds.moderate import CATEGORIES

Flags = TypedDict("Flags", dict.fromkeys(CATEGORIES, bool))  # type: ignore[misc] # names with slashes
Scores = TypedDict("Scores", dict.fromkeys(CATEGORIES, float))  # type: ignore[misc]
InputTypes = TypedDict("InputTypes", dict.fromkeys(CATEGORIES, list[str]))  # type: ignore[misc]


class ModerationResult(TypedDict):
    flagged: bool
    categories: Flags
    category_scores: Annotated[Scores, "How likely the model found that a category applies, 0 to 1."]
    category_applied_input_types: InputTypes


class ModerationList(TypedDict):
    id: str
    model: str
    results: list[ModerationResult]


def moderations(job: JobView) -> ModerationList:
    """The judgements of a job that succeeded."""
    result = job.result or {}
    judged = result.get("choices", [result])
    return {"id": ids.show(job.id, "modr-"), "model": job.model, "results": [_result(one) for one in judged]}


def _result(judged: dict[str, Any]) -> ModerationResult:
    found = judged["categories"]
    return {
        "flagged": any(found.values()),
        "categories": found,
        "category_scores": judged["scores"],
        "category_applied_input_types": {name: ["text"] for name in CATEGORIES},  # type: ignore[typeddict-item]
    }
