"""Ids of children: equal for all who ask, in the order of their places."""

import itertools

from tasks import ids


def test_children_are_sorted_by_place_and_their_own_beside_them() -> None:
    """So the work of the first document comes before that of the second."""
    parent = ids.new()
    children = [ids.derived(parent, place) for place in range(0, 5000, 7)]
    assert children == sorted(children)
    assert len(set(children)) == len(children)
    assert {child.version for child in children} == {7}
    for earlier, later in itertools.pairwise(children):
        own = [ids.beside(earlier, place) for place in range(3)]
        assert len({earlier, *own}) == 4
        assert all(child < later for child in own)
    assert ids.derived(parent, 3) == ids.derived(parent, 3) != ids.derived(ids.new(), 3)


def test_choices_of_a_line_stand_between_the_lines_before_and_after_it() -> None:
    batch = ids.new()
    before, line, after = (ids.of_line(batch, 1000.0, rank, rank) for rank in (4, 5, 6))
    made = [ids.of_choice(line, place) for place in range(128)]
    assert [before, *made, after] == sorted([before, *made, after])
    assert line not in made
    assert {each.version for each in made} == {7}


def test_lines_are_sorted_by_time_then_batch_then_rank() -> None:
    """Whatever their places in the file: what stands between batches of one moment is never mixed."""
    batches = [ids.new(), ids.new()]
    made = [
        (ids.of_line(batch, at_s, rank, 50_000 - rank), (at_s, batch, rank))
        for at_s in (1000.0, 1000.001, 2e9)
        for batch in batches
        for rank in (0, 1, 255, 256, 50_000)
    ]
    assert len({id for id, _ in made}) == len(made)
    assert {id.version for id, _ in made} == {7}
    in_order = [whose for _, whose in sorted(made)]
    assert [at_s for at_s, _, _ in in_order] == sorted(at_s for at_s, _, _ in in_order)
    runs = [[rank for *_, rank in run] for _, run in itertools.groupby(in_order, key=lambda whose: whose[:2])]
    assert runs == [[0, 1, 255, 256, 50_000]] * 6
    assert (
        ids.of_line(batches[0], 1.0, 2, 3) == ids.of_line(batches[0], 1.0, 2, 3) != ids.of_line(batches[0], 1.0, 2, 4)
    )
