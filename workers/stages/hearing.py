"""Reading what a model says as it comes: text is told at once, a call of a function when it is whole."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import InitVar, dataclass, field

from tasks.models.engine import Delta
from workers.stages.opening import joined
from workers.stages.speech import Calls, Speech


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
    spoken: bool = False  # text was told, by an earlier attempt or this one
    begun: InitVar[str] = ""  # of another call, with the last token of one that an earlier attempt told
    _held: list[Delta] = field(default_factory=list)

    def __post_init__(self, begun: str) -> None:
        self._held = _left_over(begun)

    def feed(self, delta: Delta) -> Iterator[Heard]:
        """What can be told now."""
        if not (self._may_be_called or self.speech.held):
            yield delta
            return
        self._held.append(delta)
        while (heard := self._called()) is not None:
            yield from heard
        yield from self._released()

    def finish(self, reason: str) -> Iterator[Heard]:
        """The rest. A call that isn't whole is nothing: the answer had no room for it."""
        if self.calls:
            return
        if reason == "stop" or not self.speech.has_begun(self.text):
            yield from self._held
        elif before := self.text[: self.speech.opening(self.text)]:
            yield Delta(before, 0, ())

    @property
    def text(self) -> str:
        """What is held back."""
        return "".join(delta.text for delta in self._held)

    @property
    def _may_be_called(self) -> bool:
        """Whether a function may be: where calls stand instead of a text, not once that has begun."""
        return self.speech.calls is not Calls.NOWHERE and not (self.spoken and self.speech.calls is Calls.INSTEAD)

    def _called(self) -> Sequence[Heard] | None:
        """A whole call, with the text before it; None when there is none."""
        text = self.text
        called = self.speech.call(text, first=not self.calls) if self._may_be_called else None
        if called is None:
            return None
        self.check(called.name, called.arguments)
        before = "" if self.calls else text[: called.start]  # else it separates the call from the one before
        call = Call(f"call_{secrets.token_hex(12)}", called.name, called.arguments, joined(self._held))
        self.calls += 1
        self._held = _left_over(text[called.end :])
        return [Delta(before, 0, ()), call] if before else [call]

    def _released(self) -> Iterator[Delta]:
        """The deltas that end before anything that could be a call's beginning."""
        if self.calls or self.speech.held:
            return
        kept = len(self.text) - self.speech.opening(self.text)
        while self._held and sum(len(delta.text) for delta in self._held[1:]) >= kept:
            self.spoken = True
            yield self._held.pop(0)


def _left_over(text: str) -> list[Delta]:
    """What follows a call in its last token, which is the call's."""
    return [Delta(text, 0, ())] if text else []
