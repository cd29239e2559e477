"""Which model serves what is asked, and what can never fit into one."""

from collections.abc import Iterable

from tasks import errors
from tasks.models import catalog
from tasks.models.capabilities import PARAMS
from tasks.models.catalog import Catalog, Model

# No vocabulary we know has a token of more bytes than this, so a prompt of more than context times as many can't fit.
_TOKEN_BYTES = 64
# Where it stands how to have a model of a type that no catalogue has at first.
_TOLD = {"rerank": "; docs/models.md#rerankers tells how to add one"}


def model_for(models: Catalog, type: str, name: str | None) -> Model:
    """The model of that name, or the catalogue's default for the type. Raises `ModelUnknown` if it can't serve it."""
    if name is None:
        model = catalog.for_type(models, type)
        if model is None:
            raise errors.ModelUnknown("type", f"no model serves the type {type!r}{_TOLD.get(type, '')}")
        return model
    named = models.get(name)
    if named is None:
        raise errors.ModelUnknown("model", f"no model {name!r}; GET /v1/models lists them")
    if type not in named.types:
        raise errors.ModelUnknown("model", f"{named.name} doesn't serve the type {type!r}")
    return named


def refuse_what_cannot_fit(model: Model, field: str, *texts: str) -> None:
    """Raises `PromptTooLong` for texts that are too long together, whatever the model's vocabulary."""
    size, limit = sum(len(text.encode()) for text in texts), model.context * _TOKEN_BYTES
    if size > limit:
        message = f"{size} bytes can't fit into the {model.context} tokens of {model.name} (at most {limit} bytes)"
        raise errors.PromptTooLong(field, message)


def refuse_too_many_tokens(model: Model, field: str, tokens: int) -> None:
    """Raises `PromptTooLong` for more tokens than the model's context."""
    if tokens > model.context:
        raise errors.PromptTooLong(field, f"{tokens} tokens can't fit into the {model.context} of {model.name}")


def refuse_what_it_lacks(model: Model, given: Iterable[str]) -> None:
    """Raises `Unsupported` for the first of these parameters, by their paths, that the model can't heed."""
    for path in given:
        name = path.rpartition(".")[2]
        wanted = PARAMS.get(name)
        if wanted and wanted not in model.capabilities:
            raise errors.Unsupported(path, f"{model.name} can't heed it: it has no {name}")
