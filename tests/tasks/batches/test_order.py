"""The ids of lines: in the order of the ends of their batches' windows, among plain jobs too."""

import datetime as dt
import uuid

from tasks import ids
from tasks.batches import order
from tasks.batches.order import Ranks

NOW = dt.datetime.now(dt.UTC)


def of(window: dt.timedelta, made_at: dt.datetime = NOW, rank: int = 0) -> uuid.UUID:
    return order.line_id(ids.new(), made_at + window, (0, rank), rank)


def test_the_batch_whose_window_ends_first_goes_first() -> None:
    hour = dt.timedelta(hours=1)
    late, soon, between = of(24 * hour), of(hour / 2), of(2 * hour)
    assert soon < between < late
    assert of(2 * hour, NOW - hour) < of(hour + hour / 60)  # it was made an hour ago


def test_a_plain_job_has_the_turn_of_a_batch_of_a_day() -> None:
    day, second = dt.timedelta(days=1), dt.timedelta(seconds=1)
    plain = ids.new()
    assert of(day, NOW - second) < plain < of(day, dt.datetime.now(dt.UTC) + second)
    assert of(day - dt.timedelta(minutes=1)) < plain


def test_lines_of_a_batch_go_by_their_ranks() -> None:
    batch, ranks = ids.new(), [(0, 0), (0, 300), (1, 0), (49_999, 0)]
    made = [order.line_id(batch, NOW, rank, 50_000 - place) for place, rank in enumerate(ranks)]
    assert made == sorted(made)


def test_ranks_are_handed_on_as_they_are() -> None:
    """Those of a batch that is one group, in the order of its file, are nothing."""
    ranks = [(2, 0), (0, 0), (49_999, 300), (300, 49_999), (1, 1), (0, 1), (7, 8)]
    kept = Ranks(Ranks.of(ranks).packed)
    assert [kept.of_line(place) for place in range(len(ranks))] == ranks
    assert Ranks.of([(0, 0), (0, 1), (0, 2)]).packed == ""
    assert Ranks().of_line(7) == (0, 7)
