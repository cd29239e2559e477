"""Which jobs the requests of Ollama's clients ask for."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tasks import errors
from tasks.jobs.requests import Submission
from tasks.kinds.embed import Embedding
from tasks.kinds.generation import Generation, Shape, Text, Tool, Turn
from tasks.models.catalog import Catalog, Model
from webapi.ollama import options
from webapi.ollama.conversation import turns

_LATEST = ":latest"


def model(models: Catalog, name: str) -> Model:
    """The model of this name, with or without `:latest`. Raises `ModelUnknown`."""
    found = models.get(name) or models.get(name.removesuffix(_LATEST))
    if found is None:
        raise errors.ModelUnknown("model", f"model '{name}' not found")
    return found


def generation(given: Mapping[str, Any], asked: Model) -> Submission[Generation]:
    """A prompt becomes a conversation where the model has them, as Ollama puts it into a template."""
    _refuse(given, ("images", "template", "context", "think"))
    prompt, system, suffix = given.get("prompt", ""), given.get("system", ""), given.get("suffix") or None
    raw = given.get("raw", False) or suffix is not None or "chat" not in asked.types
    if system and raw:
        raise errors.Unsupported("system", "a prompt that is continued as it stands has no system message")
    how = _how(given, asked)
    if raw:
        return _submission("generate", asked, replace(how, prompt=prompt, suffix=suffix))
    said = [("system", system)] * bool(system) + [("user", prompt)]
    return _submission("chat", asked, replace(how, turns=tuple(Turn(role, (Text(text),)) for role, text in said)))


def chat(given: Mapping[str, Any], asked: Model) -> Submission[Generation]:
    _refuse(given, ("think",))
    for number, message in enumerate(given["messages"]):
        _refuse(message, ("images",), f"messages.{number}.")
    said = turns(given["messages"])
    how = replace(_how(given, asked), turns=said, tools=tuple(map(_tool, given.get("tools", ()))))
    return _submission("chat", asked, how)


def embedding(texts: Sequence[str], asked: Model, size: int | None = None) -> Submission[Embedding]:
    """Raises `Unsupported` for a size that the model's vectors can't have."""
    if size is not None and size not in asked.dimensions:
        raise errors.Unsupported("dimensions", f"{asked.name} has {asked.dimensions or 'none but its own'}")
    return _submission("embed", asked, Embedding(tuple(texts)))


def _submission(kind: str, asked: Model, request: Any) -> Submission[Any]:
    """Raises `InvalidField` where the model doesn't do this at all."""
    if kind not in asked.types:
        raise errors.InvalidField(None, f'"{asked.name}" does not support {kind}')
    return Submission(kind, asked.name, request)


def _refuse(given: Mapping[str, Any], names: Sequence[str], path: str = "") -> None:
    for name in names:
        if given.get(name):
            raise errors.Unsupported(f"{path}{name}", "no model here can do that")


def _how(given: Mapping[str, Any], asked: Model) -> Generation:
    logprobs = given.get("top_logprobs", 0) if given.get("logprobs") else None
    return Generation(
        shape=_shape(given.get("format")), logprobs=logprobs, **options.sampling(given.get("options", {}), asked)
    )


def _shape(format: Any) -> Shape | None:
    if format in (None, ""):
        return None
    if format == "json":
        return Shape()
    if not isinstance(format, Mapping):
        raise errors.InvalidField("format", "must be `json` or a JSON schema")
    return Shape(format)


def _tool(given: Mapping[str, Any]) -> Tool:
    function = given["function"]
    return Tool(function["name"], function.get("description"), function.get("parameters", {}))
