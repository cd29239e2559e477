"""Generations of llama-server that stand still for another, and go on."""

import threading
from typing import cast

import pytest

from tasks import errors
from tasks.models.engine import Delta, Finish, Handle, Pausable, Progress, Request, Step
from tests.workers.runs import QUESTION, params, text
from workers.engines.completions import Completion
from workers.engines.llamacpp import LlamaCpp
from workers.engines.pausing import Pausing, Told

RULES = "You are the clerk of a harbour. Say how deep it is, and when the tide turns. " * 6


def begun(engine: LlamaCpp, prompt: str = RULES, **changes: object) -> Handle:
    """A greedy generation of 40 tokens, unless told otherwise."""
    asked = {"max_tokens": 40, "temperature": 0.0, **changes}
    return engine.generate(Request(engine.prompt(prompt), params(**asked), scope="a", patient=True))


def read_until(handle: Handle, kind: type[Step], number: int = 1) -> list[Step]:
    """What comes until so many steps of the kind have come."""
    steps: list[Step] = []
    while sum(isinstance(step, kind) for step in steps) < number:
        steps += handle.read(1.0)
    return steps


def stand_still(handle: Handle) -> list[Step]:
    """Pauses it; what had come before it stood still."""
    assert isinstance(handle, Pausable)
    handle.pause()
    steps: list[Step] = []
    while some := handle.read(0.2):
        steps += some
    assert not handle.read(0.2)
    return steps


def rest(handle: Handle) -> list[Step]:
    assert isinstance(handle, Pausable)
    handle.resume()
    steps = read_until(handle, Finish)
    handle.close()
    return steps


def test_what_stood_still_says_the_same(engine: LlamaCpp) -> None:
    """Paused while its prompt was evaluated and twice in its answer: the same words, as many tokens, each told once."""
    handle = begun(engine)
    whole = read_until(handle, Finish)
    handle.close()
    engine._kept.clear()  # so that it has its prompt evaluated again
    handle = begun(engine)
    steps = read_until(handle, Progress)
    for number in (1, 5):
        steps += stand_still(handle)
        handle.resume()  # type: ignore[attr-defined]
        steps += read_until(handle, Delta, number)
    steps += stand_still(handle) + rest(handle)
    assert text(steps) == text(whole)
    assert tokens(steps) == tokens(whole)


def tokens(steps: list[Step]) -> int:
    return sum(step.tokens for step in steps if isinstance(step, Delta | Finish))


def test_it_keeps_its_slot_with_what_it_had_evaluated(engine: LlamaCpp) -> None:
    """Other generations meanwhile take the other slots; what is told as cached is what was before the first pause."""
    handle = begun(engine, RULES + "First.")
    read_until(handle, Delta, 3)
    stand_still(handle)
    others = [begun(engine, RULES + "First.", max_tokens=2) for _ in range(engine.slots - 1)]
    for other in others:
        read_until(other, Finish)
    with pytest.raises(errors.EngineError, match="slots are taken"):
        begun(engine)
    for other in others:
        other.close()
    again = [step for step in rest(handle) if isinstance(step, Finish | Progress)]
    assert [type(step) for step in again] == [Finish]  # of the prompt nothing was told a second time
    handle = begun(engine, RULES + "First.")
    [end] = [step for step in read_until(handle, Finish) if isinstance(step, Finish)]
    handle.close()
    assert end.cached > 32


def test_cancel_ends_what_stands_still(engine: LlamaCpp) -> None:
    handle = begun(engine)
    read_until(handle, Delta)
    stand_still(handle)
    waiting = threading.Timer(0.1, handle.cancel)
    waiting.start()
    with pytest.raises(errors.Cancelled):
        handle.read(60.0)
    handle.close()
    waiting.join()


def test_pause_after_the_last_token_loses_no_end(engine: LlamaCpp) -> None:
    """Its end came with the last token, or comes when it goes on."""
    handle = begun(engine, max_tokens=5)
    steps = read_until(handle, Delta, 5)
    steps += stand_still_or_ended(handle, steps)
    if not any(isinstance(step, Finish) for step in steps):
        steps += rest(handle)
    handle.close()
    assert tokens(steps) == 5
    assert isinstance(steps[-1], Finish)
    assert steps[-1].reason == "length"


def stand_still_or_ended(handle: Handle, steps: list[Step]) -> list[Step]:
    return [] if any(isinstance(step, Finish) for step in steps) else stand_still(handle)


def test_what_is_drawn_by_a_clients_seed_does_not_stand_still(engine: LlamaCpp) -> None:
    """It would be another answer."""
    handle = begun(engine, QUESTION, temperature=1.0)
    assert not isinstance(handle, Pausable)
    read_until(handle, Finish)
    handle.close()


class Characters:
    """A completion that says characters of several tokens, whose ids the server doesn't tell; it may be broken off."""

    def __init__(self, text: str) -> None:
        self._left, self._cancelled, self.cached = list(text), False, None

    def read(self, timeout_s: float, *, gather: bool = False) -> list[Step]:
        if self._left and not (self._cancelled and len(self._left) % 2 == 0):  # one had come before it was broken off
            return [Delta(self._left.pop(0), 3, ())]
        if self._cancelled:
            raise errors.Cancelled("cancelled")
        return [Finish("stop", 1)]

    def cancel(self) -> None:
        self._cancelled = True

    def close(self) -> None:
        self._left = []


def test_character_without_ids_is_told_once() -> None:
    """What had come when it was to stand still is told too, and what is said next follows it."""
    text_of = "語学学校"
    given: list[tuple[int, ...]] = []

    def begin(told: Told) -> Completion:
        given.append(tuple(told.ids))
        return cast(Completion, Characters(text_of[len(told.ids) :]))

    handle = Pausing(begin, lambda piece: [ord(letter) for letter in piece], 100, lambda: None)
    steps = list(handle.read(0))
    handle.pause()
    while more := handle.read(0):
        steps += more
    handle.resume()
    while not isinstance(steps[-1], Finish):
        steps += handle.read(0)
    assert text(steps) == text_of
    assert given == [(), tuple(map(ord, text_of[:2]))]
    assert tokens(steps) == 3 * len(text_of) + 1


def test_what_stands_still_while_its_host_dies_goes_back_to_who_knows_of_it(engine: LlamaCpp) -> None:
    """It doesn't go on in another host by itself: it may be what the first one died of."""
    handle = begun(engine)
    read_until(handle, Delta)
    stand_still(handle)
    lost = engine.incarnation
    engine.restart(lost)
    with pytest.raises(errors.EngineGone):
        rest(handle)
    handle.close()


def test_nothing_is_begun_that_stands_still_from_the_start(engine: LlamaCpp) -> None:
    """So it costs whom it waits for nothing, and its cached tokens are told all the same."""
    first = begun(engine, RULES + "Second.")
    read_until(first, Finish)
    first.close()
    handle = begun(engine, RULES + "Second. Say it.")
    assert isinstance(handle, Pausable)
    handle.pause()
    assert not handle.read(0.2)
    assert handle._completion is None  # type: ignore[attr-defined]
    assert [step.cached > 32 for step in rest(handle) if isinstance(step, Finish)] == [True]
