"""Catalogues of models, as tests write them for the platforms they start."""

import json
from typing import Any

import pytest

from tests.support.platform import ROOT

DEMO_FILE = ROOT / "models" / "demo-Q8_0.gguf"
EMBEDDING_MODEL = ROOT / "models" / "demo-embed-Q8_0.gguf"
MULTILINGUAL_MODEL = ROOT / "models" / "multilingual-embed-Q4_0.gguf"

# Made by `make embedding` where a package index can be reached: what needs it can't be shown without it.
without_embedding_model = pytest.mark.skipif(
    not EMBEDDING_MODEL.is_file(), reason=f"{EMBEDDING_MODEL.name} has not been made; see `make embedding`"
)

without_multilingual_model = pytest.mark.skipif(
    not MULTILINGUAL_MODEL.is_file(),
    reason=f"{MULTILINGUAL_MODEL.name} has not been made; see `make embedding-multilingual`",
)


def model(name: str, engine: str, types: str, *, context: int, slots: int, **more: Any) -> str:
    """The part of a catalogue that is about one model. `types` are words; `more` are further keys."""
    keys = {"engine": engine, "context": context, "slots": slots, "types": types.split(), **more}
    return "\n".join((f"[{name}]", *(f"{key} = {_value(value)}" for key, value in keys.items()), ""))


def echo(name: str = "echo", types: str = "generate chat", *, slots: int, context: int = 4096, **more: Any) -> str:
    """A model that says its prompt again."""
    return model(name, "echo", types, context=context, slots=slots, **more)


def demo(name: str = "demo-chat", engine: str = "llamacpp", types: str = "generate chat", **more: Any) -> str:
    """The demo model as it ships, by whichever engine."""
    return model(name, engine, types, context=512, slots=4, file=str(DEMO_FILE), **more)


def embedder(name: str = "demo-embed", *, slots: int) -> str:
    """The model for embeddings, which may not have been made."""
    return model(name, "llamacpp", "embed", context=512, slots=slots, file=str(EMBEDDING_MODEL), optional=True)


def _value(value: Any) -> str:
    """As TOML writes it."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(inner)}" for key, inner in value.items()) + " }"
    return json.dumps(value)
