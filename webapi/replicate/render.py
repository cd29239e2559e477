"""Jobs as predictions, at the address that was asked."""

from collections.abc import Mapping
from typing import Any

from flask import request

from tasks.jobs import prediction as predictions
from tasks.jobs.prediction import Prediction
from tasks.jobs.view import JobView


def prediction(job: JobView, given: Mapping[str, Any] | None, whole: Mapping[str, Any] | None = None) -> Prediction:
    """`given` is the input as it is shown, `whole` the result where that is more than the job has of it."""
    return predictions.prediction(job, root(), given, whole)


def root() -> str:
    """Where the API is, as this request has found it."""
    return request.url_root.rstrip("/")


def address(path: str) -> str:
    """Whole, since its clients ask for it as it stands."""
    return root() + path
