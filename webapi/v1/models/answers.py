"""What clients are answered about models."""

from typing import Annotated, Literal, TypedDict

from tasks.models import catalog
from tasks.models.catalog import Catalog


class Model(TypedDict):
    id: str
    object: Literal["model"]
    types: list[str]
    context: Annotated[int, "Tokens of prompt and answer together."]
    slots: Annotated[int, "Jobs a worker runs at the same time."]
    engine: str
    workers: Annotated[int, "Workers alive now."]
    default: bool


class ModelList(TypedDict):
    object: Literal["list"]
    data: list[Model]


def model(served: catalog.Model, among: Catalog, workers: int) -> Model:
    return {
        "id": served.name,
        "object": "model",
        "types": list(served.types),
        "context": served.context,
        "slots": served.slots,
        "engine": served.engine,
        "workers": workers,
        "default": any(catalog.for_type(among, type) is served for type in served.types),
    }
