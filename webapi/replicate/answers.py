"""What Replicate's clients are answered: the shapes of its objects."""

from typing import Annotated, NotRequired, TypedDict

from tasks.jobs.prediction import Prediction as Prediction


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
