"""Silent repetition: what the reader has isn't said twice, and a difference isn't hidden."""

from hypothesis import given
from hypothesis import strategies as st

from tasks.engine import Delta
from workers.repetition import Repetition

_PIECES = st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=12)


def deltas(pieces: list[str]) -> list[Delta]:
    return [Delta(piece, 1, (number,)) for number, piece in enumerate(pieces)]


@given(_PIECES, st.data())
def test_same_run_again_says_exactly_the_rest(pieces: list[str], data: st.DataObject) -> None:
    """Whatever had been said, known text and news together are the run."""
    said = data.draw(st.integers(0, len(pieces)))
    known = "".join(pieces[:said])
    repetition = Repetition(known)
    news = [delta for piece in deltas(pieces) if (delta := repetition.feed(piece))]
    assert repetition.finish() is None
    assert not repetition.diverged
    assert known + "".join(delta.text for delta in news) == "".join(pieces)
    assert [delta.token_ids for delta in news] == [(number,) for number in range(said, len(pieces))]


def test_different_run_is_told_whole() -> None:
    """From the first difference on the reader gets the new answer from its beginning, also what wasn't repeated."""
    repetition = Repetition(known="two three", before="one ", before_ids=(9,))
    assert repetition.feed(Delta("two ", 1, (1,))) is None
    whole = repetition.feed(Delta("four", 1, (2,)))
    assert repetition.diverged
    assert whole == Delta("one two four", 3, (9, 1, 2))
    assert repetition.feed(Delta("!", 1, (3,))) == Delta("!", 1, (3,))


def test_run_that_ends_early_is_a_difference() -> None:
    """A shorter answer than was streamed can't pass for the same."""
    repetition = Repetition(known="one two")
    assert repetition.feed(Delta("one ", 1, (1,))) is None
    assert repetition.finish() == Delta("one ", 1, (1,))
    assert repetition.diverged


def test_leading_white_space_of_a_chat_is_dropped_with_its_tokens_kept() -> None:
    """The tokens count though nobody sees their text."""
    repetition = Repetition(known="", trims=True)
    assert repetition.feed(Delta("\n", 1, (1,))) is None
    assert repetition.feed(Delta(" Hi", 1, (2,))) == Delta("Hi", 2, (1, 2))
    assert repetition.feed(Delta(" you", 1, (3,))) == Delta(" you", 1, (3,))
