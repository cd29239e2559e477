"""Places that are shared: how many one holder gets beside others, and who comes next."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import ShareUsedUp, Unavailable
from tests.support.waiting import until
from webapi.capacity import Shares, Turns


def taken(shares: Shares, holder: str, wanted: int) -> int:
    """How many of so many places the holder gets."""
    got = 0
    for _ in range(wanted):
        try:
            shares.take(holder)
        except (ShareUsedUp, Unavailable):
            break
        got += 1
    return got


def test_one_alone_gets_half_and_the_next_finds_its_part() -> None:
    """Whoever has as many as are free gets no more."""
    shares = Shares(16, "places")
    assert [taken(shares, holder, 16) for holder in ("greedy", "second", "third")] == [8, 4, 2]


def test_who_has_its_share_is_told_so_and_who_finds_none_is_told_otherwise() -> None:
    """The one can wait for its own to end; the other can't help it."""
    shares = Shares(2, "places")
    shares.take("greedy")
    with pytest.raises(ShareUsedUp):
        shares.take("greedy")
    shares.take("other")
    with pytest.raises(Unavailable):
        shares.take("third")


def test_what_is_given_back_can_be_had_again() -> None:
    """Also when the block that held it failed."""
    shares = Shares(2, "places")
    for _ in range(3):
        with pytest.raises(RuntimeError), shares.held("one"):
            raise RuntimeError
    assert taken(shares, "one", 2) == 1


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=100))
def test_whoever_has_none_finds_a_place_unless_all_are_held(steps: list[tuple[int, bool]]) -> None:
    """Whatever the others took and gave back: only who wants more than is free is refused."""
    shares, held = Shares(8, "places"), [0, 0, 0, 0]
    for holder, wants in steps:
        if wants:
            try:
                shares.take(holder)
            except (ShareUsedUp, Unavailable):
                assert held[holder] >= 8 - sum(held)
            else:
                held[holder] += 1
        elif held[holder]:
            shares.give_back(holder)
            held[holder] -= 1
    assert sum(held) <= 8


def test_turn_goes_to_who_holds_fewest() -> None:
    """A line of ten by one holder doesn't come before the one who comes last and holds nothing."""
    turns, order = Turns(1, "turns", line=10, patience_s=30), list[str]()

    def ask(holder: str) -> None:
        with turns.held(holder):
            order.append(holder)

    turns.take("greedy")
    with ThreadPoolExecutor(12) as pool:
        for number in range(10):
            pool.submit(ask, "greedy")
            in_line(turns, number + 1)
        pool.submit(ask, "other")
        in_line(turns, 11)
        turns.give_back("greedy")
    # Both hold none then: they alternate, from whoever waited first.
    assert order[:2] == ["greedy", "other"]
    assert len(order) == 11


def test_line_of_one_holder_is_bounded_and_another_has_its_own() -> None:
    """Who waits holds a thread."""
    turns = Turns(1, "turns", line=2, patience_s=30)
    turns.take("first")
    with ThreadPoolExecutor(3) as pool:
        for number in range(2):
            pool.submit(turns.take, "greedy")
            in_line(turns, number + 1)
        with pytest.raises((ShareUsedUp, Unavailable)):
            turns.take("greedy")
        other = pool.submit(turns.take, "other")
        in_line(turns, 3)
        turns.give_back("first")
        turns.give_back("greedy")
        assert other.result(60) is None
        turns.give_back("other")


def test_who_runs_out_of_patience_leaves_the_line() -> None:
    """Its turn doesn't come later, when nobody would give it back."""
    turns = Turns(1, "turns", line=2, patience_s=0.01)
    turns.take("first")
    with pytest.raises(Unavailable):
        turns.take("second")
    turns.give_back("first")
    turns.take("third")


def test_turns_of_many_threads_are_all_given_back() -> None:
    """However they interleave, no place is lost and no more are held than there are."""
    turns, lock = Turns(3, "turns", line=100, patience_s=30), threading.Lock()
    running, most = 0, 0

    def ask(holder: int) -> None:
        nonlocal running, most
        with turns.held(holder % 4):
            with lock:
                running += 1
                most = max(most, running)
            with lock:
                running -= 1

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(800)))
    assert most <= 3
    assert taken(turns, "alone", 1) == 1


def in_line(turns: Turns, count: int) -> None:
    """Waits until so many wait."""
    until(lambda: sum(map(len, turns._lines.values())) == count)
