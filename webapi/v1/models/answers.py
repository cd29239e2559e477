"""What clients are answered about models."""

from typing import Annotated, Literal, TypedDict

from tasks.models import catalog
from tasks.models.catalog import Catalog

OWNER = "forebay"


class Model(TypedDict):
    """A model as OpenAI's clients know it, with what ours know of it."""

    id: str
    object: Literal["model"]
    created: Annotated[int, "When its file was written; 0 where it has none."]
    owned_by: str
    shutdown_date: Annotated[str | None, {"format": "date"}, "Null: none is planned."]
    types: list[str]
    context: Annotated[int, "Tokens of prompt and answer together."]
    slots: Annotated[int, "Jobs a worker runs at the same time."]
    engine: str
    workers: Annotated[int, "Workers alive now."]
    default: bool
    capabilities: Annotated[list[str], "What can be asked of it beside the usual."]


class ModelList(TypedDict):
    object: Literal["list"]
    data: list[Model]


def model(served: catalog.Model, among: Catalog, workers: int) -> Model:
    return {
        "id": served.name,
        "object": "model",
        "created": _written_at(served),
        "owned_by": OWNER,
        "shutdown_date": None,
        "types": list(served.types),
        "context": served.context,
        "slots": served.slots,
        "engine": served.engine,
        "workers": workers,
        "default": any(catalog.for_type(among, type) is served for type in served.types),
        "capabilities": sorted(served.capabilities),
    }


def _written_at(served: catalog.Model) -> int:
    try:
        return int(served.file.stat().st_mtime) if served.file else 0
    except OSError:
        return 0
