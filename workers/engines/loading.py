"""Engines by name."""

import hashlib
from collections.abc import Callable

from tasks import errors
from tasks.models.catalog import Model
from tasks.models.engine import Engine
from workers.engines import ctransformers, echo, llamacpp

_ENGINES: dict[str, Callable[[Model, int, int], Engine]] = {
    "llamacpp": llamacpp.load,
    "ctransformers": ctransformers.load,
    "echo": echo.load,
}


def load(model: Model, *, slots: int, threads: int) -> Engine:
    """The model, loaded, with so many slots on so many CPU threads. Raises `EngineUnusable` saying why not."""
    if model.engine not in _ENGINES:
        raise errors.EngineUnusable(f"{model.name}: unknown engine {model.engine!r}; known: {', '.join(_ENGINES)}")
    return _ENGINES[model.engine](model, slots, threads)


def identity(model: Model, engine: Engine) -> str:
    """What the model's answers are made by: another for another file, template, context, prefix or option of it."""
    made_by = (
        model.engine,
        engine.identity,
        model.context,
        sorted(model.prefixes.items()),
        sorted(model.options.items()),
    )
    return hashlib.blake2b(repr(made_by).encode(), digest_size=16).hexdigest()
