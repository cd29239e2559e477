"""Which lines of a batch are equal, and may have one answer."""

from typing import Any

import pytest

from tasks.batches import twins
from tasks.batches.twins import Firsts, Twins
from tests import tables

CHAT = {"messages": [{"role": "user", "content": "hi"}]}
GREEDY = {"temperature": 0}


def digest(input: Any = CHAT, params: Any = GREEDY, about: Any = None, type: str = "chat", **changes: Any) -> Any:
    return twins.digest(tables.submission(type, "alpha", input, params, **changes), about or {})


def test_lines_are_equal_that_ask_the_same() -> None:
    first = digest()
    assert first is not None
    assert digest(metadata={"a": "1", "b": "2"}) == digest(metadata={"b": "2", "a": "1"}) != first
    others = [
        digest({"messages": [{"role": "user", "content": "ho"}]}),
        digest(params={"temperature": 0, "max_tokens": 3}),
        digest(about={"older": True}),
        digest(store=True),
        digest({"prompt": "hi"}, type="generate"),
    ]
    assert len({first, *others}) == 6
    assert digest() == first


@pytest.mark.parametrize("params", [{}, {"temperature": 0.7}, {"temperature": 1, "top_k": 2}])
def test_line_that_draws_by_chance_runs_by_itself(params: dict[str, Any]) -> None:
    """Whoever asks twice wants two answers."""
    assert digest(params=params) is None


@pytest.mark.parametrize("params", [{"logprobs": 0}, {"logprobs": 20}, {"choices": 2}])
def test_line_whose_answer_is_large_runs_by_itself(params: dict[str, Any]) -> None:
    """A small file of equal lines would have files of gigabytes, and be charged for one."""
    assert digest(params=GREEDY | params) is None


@pytest.mark.parametrize("params", [{"seed": 0}, {"top_k": 1}, {"temperature": 0.9, "seed": 4}])
def test_line_that_says_the_same_again_may_have_twins(params: dict[str, Any]) -> None:
    assert digest(params=params) is not None


def test_functions_of_the_server_may_answer_otherwise_the_next_time() -> None:
    tool = {"name": "now", "parameters": {"type": "object"}}
    params = GREEDY | {"server_functions": ["now"]}
    assert digest({**CHAT, "tools": [tool]}, params) is None
    assert digest({**CHAT, "tools": [tool]}) is not None


def test_vectors_and_moderations_are_always_the_same() -> None:
    assert digest({"texts": ["a"]}, {}, type="embed") is not None


def test_what_was_found_is_handed_on() -> None:
    """From one slice to the next, and to the stage that writes."""
    firsts = Firsts()
    for place, name in enumerate([b"a" * 16, None, b"b" * 16, b"a" * 16]):
        firsts.note(place, name)
    again = Firsts.from_json(firsts.to_json())
    again.note(300, b"b" * 16)
    again.note(301, b"c" * 16)
    assert again.twins.of == {3: 0, 300: 2}
    assert Twins.unpacked(again.twins.packed) == again.twins
    assert Firsts.from_json({}) == Firsts()


def test_a_response_runs_by_itself() -> None:
    """What was found for it may be another the next time."""
    asked = {"items": [{"type": "message", "role": "user", "content": "hi"}], "said": {}}
    assert digest(asked, GREEDY, type="response") is None
