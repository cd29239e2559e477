"""What Replicate's clients are answered: the shapes of its objects."""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from tasks.times import Moment


class PredictionUrls(TypedDict):
    get: str
    cancel: str
    stream: NotRequired[Annotated[str, "Of a prediction whose output is text: server-sent events."]]


class PredictionMetrics(TypedDict):
    predict_time: NotRequired[Annotated[float, "Seconds from its start to its end."]]
    total_time: NotRequired[Annotated[float, "Seconds from being accepted to its end."]]
    input_token_count: NotRequired[int]
    output_token_count: NotRequired[int]


class Prediction(TypedDict):
    """A job, as Replicate shows it."""

    id: Annotated[str, "The job's, without its prefix."]
    model: str
    version: Annotated[str, "The model's name once more: it has no versions."]
    status: Literal["starting", "processing", "succeeded", "failed", "canceled"]
    input: Annotated[dict[str, Any] | None, "Once it was accepted, in our words; null in lists."]
    output: Annotated[Any, "Texts in a list, or vectors; null before the end, and of vectors in lists."]
    logs: str
    error: str | None
    metrics: PredictionMetrics
    created_at: Moment
    started_at: Moment | None
    completed_at: Moment | None
    urls: PredictionUrls


class PredictionPage(TypedDict):
    previous: Annotated[None, "Pages lead one way."]
    next: Annotated[str | None, "The address of the next page."]
    results: list[Prediction]


class InvalidField(TypedDict):
    type: str
    field: str
    description: str


class Problem(TypedDict):
    """RFC 7807."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    invalid_fields: NotRequired[list[InvalidField]]
