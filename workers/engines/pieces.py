"""An answer's tokens as deltas: whole characters, whole tokens, nothing that could become a stop string."""

import codecs
from collections.abc import Iterable
from dataclasses import dataclass, field

from tasks.models.engine import Delta
from tasks.models.logprobs import Logprob


@dataclass(slots=True)
class Pieces:
    """Takes one token after another. A delta's text is exactly its ids', except where a stop string cut a token: by
    the difference, whoever takes the answer up again sees that it had come to its end.
    """

    stop: tuple[str, ...]
    stopped: bool = False
    _text: str = ""  # held back
    _ids: list[int] = field(default_factory=list)  # those it came from, and of a character that isn't whole yet
    _likely: list[Logprob] = field(default_factory=list)  # of all tokens, where any is told
    _bounds: list[tuple[int, int]] = field(default_factory=list)  # characters and ids up to where tokens end
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )

    def feed(self, token: int, piece: bytes, likely: Logprob | None = None) -> Delta | None:
        """What can be told now. Sets `stopped` when a stop string has come."""
        self._ids.append(token)
        self._likely += [] if likely is None else [likely]
        self._text += self._decoder.decode(piece)
        if not self._decoder.getstate()[0]:
            self._bounds.append((len(self._text), len(self._ids)))
        found = [at for at in (self._text.find(string) for string in self.stop) if at >= 0]
        if found:
            self.stopped = True
            return self._cut(min(found))
        return self._take(len(self._text) - _beginning(self._text, self.stop))

    def finish(self) -> Delta | None:
        """What was held back for a stop string that didn't come."""
        return None if self.stopped else self._take(len(self._text))

    @property
    def untold(self) -> int:
        """Tokens that no delta has carried."""
        return len(self._ids)

    def _take(self, safe: int) -> Delta | None:
        """The whole tokens within so many characters."""
        characters, ids = max((bound for bound in self._bounds if bound[0] <= safe), default=(0, 0))
        if not characters:
            return None
        delta = self._delta(characters, ids)
        self._text = self._text[characters:]
        self._bounds = [(end - characters, count - ids) for end, count in self._bounds if count > ids]
        return delta

    def _cut(self, end: int) -> Delta | None:
        """Everything before the stop string, the beginning of a token too."""
        if not end:
            return None
        if any(reached == end for reached, _ in self._bounds):
            return self._take(end)
        count = next((count for reached, count in self._bounds if reached > end), len(self._ids))
        return self._delta(end, count)

    def _delta(self, characters: int, count: int) -> Delta:
        """So much of the text, from so many tokens, which aren't held any more."""
        delta = Delta(self._text[:characters], count, tuple(self._ids[:count]), tuple(self._likely[:count]))
        self._ids, self._likely = self._ids[count:], self._likely[count:]
        return delta


def _beginning(text: str, stop: Iterable[str]) -> int:
    """How many characters at the text's end could be the beginning of a stop string."""
    return max(
        (
            length
            for string in stop
            for length in range(1, min(len(string), len(text) + 1))
            if text.endswith(string[:length])
        ),
        default=0,
    )
