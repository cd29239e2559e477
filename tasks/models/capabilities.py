"""What the engines can do: known here, without their libraries, so that what a model can't do is refused at once.

A capability stands here when something asks for it: a stage before it relies on it, or whoever accepts a job.
"""

import enum
from collections.abc import Mapping


class Capability(enum.StrEnum):
    EMBEDS = "embeds"  # it gives vectors, where its model is made for them
    RERANKS = "reranks"  # it tells how well documents answer a query, where its model is made for that
    CONTINUES_BY_IDS = "continues_by_ids"  # it goes on with an answer of which the token ids are known
    STOP = "stop"  # it ends an answer before any of the strings it is given
    SEED = "seed"  # it draws by the seed it is given
    READS_IDS = "reads_ids"  # it takes a prompt's token ids instead of its text
    SHAPES = "shapes"  # it gives nothing but what a grammar allows, as calls of tools need too
    LOGPROBS = "logprobs"  # it tells how likely its tokens were, and which others were
    LOGIT_BIAS = "logit_bias"  # it makes tokens more or less likely
    INFILLS = "infills"  # it writes what stands between two texts, where its model's vocabulary has tokens for it


_PLAIN = frozenset({Capability.CONTINUES_BY_IDS, Capability.STOP, Capability.SEED})

_WHOLE = _PLAIN | {
    Capability.READS_IDS,
    Capability.SHAPES,
    Capability.LOGPROBS,
    Capability.LOGIT_BIAS,
    Capability.INFILLS,
}

ENGINES: dict[str, frozenset[Capability]] = {
    "llamacpp": _WHOLE | {Capability.EMBEDS, Capability.RERANKS},
    "ctransformers": _WHOLE,
    "echo": _PLAIN | {Capability.EMBEDS, Capability.RERANKS, Capability.LOGPROBS},
}

# What a job asks for by giving a parameter. The other parameters are every generator's.
PARAMS: Mapping[str, Capability] = {
    "stop": Capability.STOP,
    "seed": Capability.SEED,
    "prompt_ids": Capability.READS_IDS,
    "suffix": Capability.INFILLS,
    "tools": Capability.SHAPES,
    "tool_choice": Capability.SHAPES,
    "shape": Capability.SHAPES,
    "logprobs": Capability.LOGPROBS,
    "logit_bias": Capability.LOGIT_BIAS,
}
