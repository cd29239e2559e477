"""`compact`: a conversation summed up by the model, so that it goes on from a few words instead of all of them."""

from tasks.kinds.response import ResponseKind


class CompactKind(ResponseKind):
    name = "compact"
    converses = False
