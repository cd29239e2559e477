"""Groups of notes: as large as there is room, and the same ones however others change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import errors
from tasks.summaries import tree
from tasks.summaries.tree import Level


def cut(texts: list[str], budget: int = 40) -> list[list[str]]:
    return [[texts[at] for at in group] for group in tree.groups(texts, [4] * len(texts), budget, 4)]


@given(st.lists(st.text(min_size=1), min_size=1, max_size=200, unique=True))
def test_groups_have_all_texts_in_order_and_room_for_each(texts: list[str]) -> None:
    """Only the last may be alone; so each level has at most about half as many as the one below."""
    found = cut(texts)
    assert [text for group in found for text in group] == texts
    assert all(len(group) * 4 <= 40 for group in found)
    assert all(len(group) > 1 for group in found[:-1])


def test_one_text_more_leaves_most_groups_as_they_were() -> None:
    """Wherever it comes in: the groups behind it end where their own texts say."""
    texts = [f"Document {number} is about the lamp." for number in range(1000)]
    before = {tuple(group) for group in cut(texts)}
    for place in (0, 333, 999):
        after = {tuple(group) for group in cut([*texts[:place], "A new one.", *texts[place:]])}
        assert len(after - before) <= 4


def test_texts_of_which_no_two_have_room_are_refused() -> None:
    with pytest.raises(errors.ContextLengthExceeded):
        tree.groups(["one", "two"], [30, 30], 40, 30)


def test_level_is_kept_and_filled_by_places() -> None:
    """A part of which nothing was said is counted, and left out."""
    level = Level(("known", None, None), own=False, first=7, steps=3, places=((0, 5), (5, 9)))
    assert Level.from_json(level.to_json()) == level
    filled = level.filled({8: "said", 9: None, 3: "of another level"})
    assert (filled.texts, filled.first, filled.skipped) == (("known", "said"), 10, 1)
