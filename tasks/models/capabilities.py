"""What the engines can do: known here, without their libraries, so that what a model can't do is refused at once.

A capability stands here when something asks for it: a stage before it relies on it, or whoever accepts a job.
"""

import enum
from collections.abc import Mapping


class Capability(enum.StrEnum):
    EMBEDS = "embeds"  # it gives vectors, where its model is made for them
    CONTINUES_BY_IDS = "continues_by_ids"  # it goes on with an answer of which the token ids are known
    STOP = "stop"  # it ends an answer before any of the strings it is given
    SEED = "seed"  # it draws by the seed it is given


_ALL = frozenset(Capability)

ENGINES: dict[str, frozenset[Capability]] = {
    "llamacpp": _ALL,
    "ctransformers": _ALL - {Capability.EMBEDS},
    "echo": _ALL,
}

# What a job asks for by giving a parameter. The other parameters are every generator's.
PARAMS: Mapping[str, Capability] = {"stop": Capability.STOP, "seed": Capability.SEED}
