"""Repeating a run silently: until it says more than the reader has, or something else."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tasks.engine import Delta


@dataclass(slots=True)
class Repetition:
    """Compares a run with the text that was already streamed.

    `known` is the text the run has to say again, `before` what goes before it without being said again, `before_ids`
    the token ids of that. `trims` drops white space before the first word, which many chat templates leave there.
    """

    known: str
    before: str = ""
    before_ids: tuple[int, ...] = ()
    trims: bool = False
    diverged: bool = False
    _leading: list[Delta] = field(default_factory=list)
    _said: list[Delta] = field(default_factory=list)

    def feed(self, given: Delta) -> Delta | None:
        """What of the delta is news. After a difference, with `diverged` set: the whole answer as it is now."""
        delta = self._trim(given) if self.trims else given
        if delta is None or not self.known:
            return delta
        self._said.append(delta)
        if self.known.startswith(delta.text):
            self.known = self.known[len(delta.text) :]
            return None
        if delta.text.startswith(self.known):
            news, self.known = delta.text[len(self.known) :], ""
            return Delta(news, delta.tokens, ())
        return self._differs()

    @property
    def withheld_tokens(self) -> int:
        """Tokens of white space that no word followed: nobody sees them, but they were spent."""
        return sum(delta.tokens for delta in self._leading) if self.trims else 0

    def finish(self) -> Delta | None:
        """The run has ended. The whole answer when it ended short of what was known, which is a difference too."""
        return self._differs() if self.known else None

    def _trim(self, given: Delta) -> Delta | None:
        delta = joined([*self._leading, given])
        if not delta.text.strip():
            self._leading.append(given)
            return None
        self.trims = False
        return replace(delta, text=delta.text.lstrip())

    def _differs(self) -> Delta:
        self.known, self.diverged = "", True
        before = [Delta(self.before, len(self.before_ids), self.before_ids)] if self.before else []
        return joined([*before, *self._said])


def joined(deltas: Sequence[Delta]) -> Delta:
    """Several deltas as one; its ids are known only if all are."""
    tokens = sum(delta.tokens for delta in deltas)
    ids = tuple(token_id for delta in deltas for token_id in delta.token_ids)
    return Delta("".join(delta.text for delta in deltas), tokens, ids if len(ids) == tokens else ())
