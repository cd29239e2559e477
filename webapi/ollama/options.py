"""Ollama's `options`, read: what is heeded, what means nothing here, and what is refused."""

from collections.abc import Mapping
from typing import Any

import marshmallow as ma

from dialects.fields import Real, Stop, Whole, within
from tasks import errors
from tasks.kinds.sampling import Sampling
from tasks.models.catalog import Model

_LAST = 64  # of so many tokens the engines penalise repetition, which is Ollama's usual number too

# Ways to draw tokens that no engine here has, each with the values that ask for nothing of it.
_UNSUPPORTED: Mapping[str, tuple[float, ...]] = {"tfs_z": (1,), "typical_p": (1,), "mirostat": (0,)}


class OllamaOptions(ma.Schema):
    """How an answer is drawn. Other options are left out: Ollama does so with those that it doesn't know, and how a
    worker holds its model (`num_gpu`, `num_thread`, `num_batch` …) is the catalogue's to say."""

    class Meta:
        unknown = ma.EXCLUDE

    temperature = Real(allow_none=True, validate=within(0, 2))
    top_p = Real(allow_none=True, validate=within(0, 1))
    top_k = Whole(allow_none=True, validate=within(0, 1000), metadata={"description": "0 turns it off."})
    min_p = Real(allow_none=True, validate=within(0, 1))
    repeat_penalty = Real(
        allow_none=True,
        validate=within(0, 2, above=True),
        metadata={"description": "1 is none.", "exclusiveMinimum": 0},
    )
    repeat_last_n = Whole(
        allow_none=True, metadata={"description": f"0 turns `repeat_penalty` off; else it is {_LAST} tokens."}
    )
    frequency_penalty = Real(allow_none=True, validate=within(-2, 2))
    presence_penalty = Real(allow_none=True, validate=within(-2, 2))
    seed = Whole(allow_none=True, metadata={"description": "Taken modulo 2³¹."})
    stop = Stop(allow_none=True, metadata={"description": "The answer ends before any of these: one, or up to eight."})
    num_predict = Whole(
        allow_none=True,
        validate=ma.validate.Range(max=1_000_000),
        metadata={"description": "At most so many tokens of answer. Below 1: as many as the context holds."},
    )
    num_ctx = Whole(
        allow_none=True, metadata={"description": "Means nothing up to the model's context; more is refused."}
    )
    tfs_z = Real(allow_none=True, metadata={"description": "Only 1."})
    typical_p = Real(allow_none=True, metadata={"description": "Only 1."})
    mirostat = Whole(allow_none=True, metadata={"description": "Only 0."})


def sampling(given: Mapping[str, Any], model: Model) -> dict[str, Any]:
    """What the options say, as `Generation` takes it. Raises `Unsupported` for what the model can't do."""
    said = {name: value for name, value in given.items() if value is not None}
    _refuse(said, model)
    drawn = {"repetition_penalty" if name == "repeat_penalty" else name: said[name] for name in _DRAWN if name in said}
    if said.get("repeat_last_n") == 0:
        drawn["repetition_penalty"] = 1.0
    if drawn.get("top_p") == 0:  # the likeliest token alone
        drawn |= {"top_p": 1.0, "top_k": 1}
    most = said.get("num_predict", 0)
    return {
        "sampling": Sampling(**drawn),
        "stop": tuple(said.get("stop", ())),
        "seed": said["seed"] % 2**31 if "seed" in said else None,
        "max_tokens": most if most > 0 else None,
    }


_DRAWN = ("temperature", "top_p", "top_k", "min_p", "repeat_penalty", "frequency_penalty", "presence_penalty")


def _refuse(said: Mapping[str, Any], model: Model) -> None:
    for name, harmless in _UNSUPPORTED.items():
        if name in said and said[name] not in harmless:
            raise errors.Unsupported(f"options.{name}", "no engine here draws tokens so")
    if said.get("repeat_last_n", _LAST) not in (0, _LAST) and said.get("repeat_penalty", 1) != 1:
        raise errors.Unsupported("options.repeat_last_n", f"repetition is penalised over {_LAST} tokens here, or 0")
    if said.get("num_ctx", 0) > model.context:
        raise errors.Unsupported("options.num_ctx", f"{model.name} has a context of {model.context} tokens")
