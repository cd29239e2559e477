"""Numbers between bounds."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.shapes import following, json_text, numbers
from tasks.shapes.grammar import NEVER, Grammar
from tasks.shapes.numbers import Bound
from tests.support import schemas

ENDS = st.none() | st.integers(-1_200, 1_200) | st.integers(-(10**17), 10**17)


@settings(deadline=None)
@given(ENDS, ENDS, st.lists(st.integers(-1_500, 1_500) | st.integers(-(10**17), 10**17), max_size=20))
def test_integers_are_those_between_the_bounds(least: int | None, most: int | None, values: list[int]) -> None:
    """Exactly: also the bounds themselves and those beside them."""
    node = numbers.integers(least, most)
    edges = [end + by for end in (least, most) if end is not None for by in (-1, 0, 1)]
    for value in [*values, *edges]:
        inside = (least is None or value >= least) and (most is None or value <= most)
        assert following.accepts(Grammar(node, json_text.RULES), str(value)) == inside, value


@pytest.mark.parametrize("text", ["00", "01", "-01", "+1", "1.0", "1e2", "", "-"])
def test_what_is_no_integer_is_refused(text: str) -> None:
    """JSON knows no leading zeros."""
    assert not following.accepts(Grammar(numbers.integers(None, None)), text)
    assert not following.accepts(Grammar(numbers.integers(-500, 500)), text)


@settings(deadline=None)
@given(
    st.none() | st.builds(Bound, st.integers(-300, 300), st.booleans()),
    st.none() | st.builds(Bound, st.integers(-300, 300), st.booleans()),
    st.lists(st.floats(-310, 310).map(lambda value: round(value, 3) + 0.0), max_size=20),
)
def test_numbers_are_those_between_integer_bounds(least: Bound | None, most: Bound | None, values: list[float]) -> None:
    """Exactly, with integers as bounds, as far as the numbers are written without exponents."""
    node, exact = numbers.numbers(least, most)
    assert exact
    edges = [bound.at + by + 0.0 for bound in (least, most) if bound for by in (-0.5, -0.001, 0, 0.001, 0.5)]
    for value in [*values, *edges]:
        text = json.dumps(value)
        if "e" not in text:
            assert following.accepts(Grammar(node, json_text.RULES), text) == _inside(value, least, most), text


@settings(deadline=None)
@given(st.floats(-50, 50), st.floats(-50, 50), st.booleans(), st.booleans(), st.integers(0, 100))
def test_numbers_drawn_are_inside_when_it_is_exact(
    least: float, most: float, below: bool, above: bool, seed: int
) -> None:
    """Bounds with fractions are the check's affair, and it is said so."""
    low, high = Bound(least, below), Bound(most, above)
    node, exact = numbers.numbers(low, high)
    if node != NEVER:
        value = json.loads(schemas.draw(Grammar(node, json_text.RULES), seed))
        assert not exact or _inside(value, low, high)
        assert least - 1 <= value <= most + 1


def _inside(value: float, least: Bound | None, most: Bound | None) -> bool:
    above = least is None or value > least.at or (value == least.at and not least.excluded)
    return above and (most is None or value < most.at or (value == most.at and not most.excluded))
