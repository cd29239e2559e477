"""Reading what a model says as it comes: text is told at once, a call of a function when it is whole."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tasks.models.engine import Delta
from workers.stages.opening import joined
from workers.stages.speech import Speech


@dataclass(frozen=True, slots=True)
class Call:
    """A function that is to be called, and what the call was made from."""

    id: str
    name: str
    arguments: str
    made_from: Delta


Heard = Delta | Call


@dataclass(slots=True)
class Hearing:
    """Takes the engine's deltas. `check` raises for arguments that don't fit; it is asked before a call is told.

    A delta that holds the end of a text and the beginning of a call is told with the call: its tokens are the call's.
    """

    speech: Speech
    check: Callable[[str, str], None]
    calls: int = 0  # that were told, those of earlier attempts too
    _held: list[Delta] = field(default_factory=list)

    def feed(self, delta: Delta) -> Iterator[Heard]:
        """What can be told now."""
        if self.speech.format is None and not self.speech.held:
            yield delta
            return
        self._held.append(delta)
        while (heard := self._called()) is not None:
            yield from heard
        if not self.speech.held:
            yield from self._released()

    def finish(self) -> Iterator[Heard]:
        """The rest. A call that isn't whole is nothing: the answer had no room for it."""
        text = self._text
        if self.speech.format is None or self.speech.format.before not in text:
            yield from self._held
            self._held = []

    @property
    def text(self) -> str:
        """What is held back."""
        return self._text

    @property
    def withheld_tokens(self) -> int:
        """Those that nobody was told of: they were spent."""
        return sum(delta.tokens for delta in self._held)

    @property
    def _text(self) -> str:
        return "".join(delta.text for delta in self._held)

    def _called(self) -> Sequence[Heard] | None:
        """A whole call, with the text before it; None when there is none."""
        text = self._text
        called = self.speech.call(text)
        if called is None:
            return None
        self.check(called.name, called.arguments)
        whole, before, after = joined(self._held), text[: called.start], text[called.end :]
        if self.calls:
            before = ""  # what separates it from the call before
        self.calls += 1
        self._held = [Delta(after, 0, ())] if after else []
        call = Call(f"call_{secrets.token_hex(12)}", called.name, called.arguments, whole)
        return [Delta(before, 0, ()), call] if before else [call]

    def _released(self) -> Iterator[Delta]:
        """The deltas that end before anything that could be a call's beginning."""
        kept = self.speech.beginning(self._text)
        while self._held and sum(len(delta.text) for delta in self._held[1:]) >= kept:
            yield self._held.pop(0)
