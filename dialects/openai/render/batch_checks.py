"""What a file of requests comes to, beyond OpenAI's words."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypedDict

from dialects.openai.render.batches import OpenAIBatchError
from tasks.batches import estimates
from tasks.batches.estimates import Estimate


class BatchCheckLine(TypedDict):
    line: Annotated[int, "Of the file, from 1."]
    custom_id: str
    bytes: int


class BatchCheckModel(TypedDict):
    """What is asked of one model."""

    model: str
    lines: int
    bytes: Annotated[int, "Of what is put to it."]
    bytes_per_token: float
    bytes_per_token_measured: Annotated[
        bool, "On your newest jobs of this model that were kept, or on batches' lines; else it is what is usual."
    ]
    prompt_tokens: Annotated[int, "About so many: the bytes by the bytes of a token."]
    most_completion_tokens: Annotated[int, "Of all answers whose requests say how long they may be."]
    unbounded_lines: Annotated[int, "Requests that don't say it."]
    answered_lines: Annotated[int, "Requests that your batches have answers to already: they wouldn't be run."]
    estimated_s: Annotated[float | None, "By how long jobs of this model took of late; null where none did."]


class BatchCheck(TypedDict):
    object: Literal["batch.check"]
    valid: Annotated[bool, "Whether it could be a batch's file as it is: no line is wrong."]
    errors: Annotated[list[OpenAIBatchError], "The first hundred."]
    warnings: Annotated[
        list[OpenAIBatchError],
        "Of lines that couldn't be answered now, or that are probably too long for their models: the first hundred.",
    ]
    lines: int
    models: Annotated[list[BatchCheckModel], "Of the lines that are right."]
    largest_line: BatchCheckLine | None
    estimated_s: Annotated[float | None, "Of all models beside each other, where nothing else waits."]


def check(result: Mapping[str, Any], models: Sequence[Estimate]) -> BatchCheck:
    """`result` is that of the job which looked at the file."""
    largest = result["survey"]["largest"]
    line: BatchCheckLine | None = None
    if largest is not None:
        line = {"line": largest[0], "custom_id": largest[1], "bytes": largest[2]}
    told: list[Any] = [estimate.plain() for estimate in models]
    return {
        "object": "batch.check",
        "valid": not result["errors"],
        "errors": result["errors"],
        "warnings": result["survey"].get("warnings", []),
        "lines": result["lines"],
        "models": told,
        "largest_line": line,
        "estimated_s": estimates.together(models),
    }
