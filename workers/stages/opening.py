"""The beginning of an answer: many chat templates leave white space before its first word."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tasks.models.engine import Delta


@dataclass(slots=True)
class Opening:
    """Drops white space from the answer's beginning where `trims` is set. Its tokens are counted with what follows."""

    trims: bool
    _leading: list[Delta] = field(default_factory=list)

    def feed(self, given: Delta) -> Delta | None:
        """What of the delta is to be shown; None for white space that no word has followed yet."""
        if not self.trims:
            return given
        delta = joined([*self._leading, given])
        if not delta.text.strip():
            self._leading.append(given)
            return None
        self.trims = False
        return replace(delta, text=delta.text.lstrip())


def joined(deltas: Sequence[Delta]) -> Delta:
    """Several deltas as one; its ids are known only if all are."""
    tokens = sum(delta.tokens for delta in deltas)
    ids = tuple(token_id for delta in deltas for token_id in delta.token_ids)
    logprobs = tuple(each for delta in deltas for each in delta.logprobs)
    return Delta("".join(delta.text for delta in deltas), tokens, ids if len(ids) == tokens else (), logprobs)
