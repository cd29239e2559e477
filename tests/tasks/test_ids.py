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
    before, line, after = (ids.of_line(batch, 1000.0, (0, line), line) for line in (4, 5, 6))
    made = [ids.of_choice(line, place) for place in range(128)]
    assert [before, *made, after] == sorted([before, *made, after])
    assert line not in made
    assert {each.version for each in made} == {7}


def test_lines_are_sorted_by_time_then_batch_then_rank() -> None:
    """Whatever their places in the file: what stands between batches of one moment is never mixed."""
    batches, ranks = [ids.new(), ids.new()], [(0, 0), (0, 50_000), (1, 0), (1, 255), (1, 256), (256, 0), (50_000, 1)]
    made = [
        (ids.of_line(batch, at_s, rank, 50_000 - place), (at_s, batch, rank))
        for at_s in (1000.0, 1000.001, 2e9)
        for batch in batches
        for place, rank in enumerate(ranks)
    ]
    assert len({id for id, _ in made}) == len(made)
    assert {id.version for id, _ in made} == {7}
    in_order = [whose for _, whose in sorted(made)]
    assert [at_s for at_s, _, _ in in_order] == sorted(at_s for at_s, _, _ in in_order)
    runs = [[rank for *_, rank in run] for _, run in itertools.groupby(in_order, key=lambda whose: whose[:2])]
    assert runs == [ranks] * 6
    one = ids.of_line(batches[0], 1.0, (2, 0), 3)
    assert one == ids.of_line(batches[0], 1.0, (2, 0), 3) != ids.of_line(batches[0], 1.0, (2, 0), 4)


def test_an_id_tells_the_batch_and_the_group_of_a_line_and_of_its_choices() -> None:
    """The ids between the two bounds of a group are its lines' and their choices', and no others."""
    batch = ids.new()
    lines = {rank: ids.of_line(batch, 1.0, rank, 7) for rank in ((1, 65_535), (2, 0), (2, 65_535), (3, 0))}
    lines |= {(2, 1): ids.of_choice(lines[2, 0], 65_535)}
    assert len({ids.batch_of(line) for line in lines.values()}) == 1
    assert ids.batch_of(ids.of_line(ids.new(), 1.0, (2, 0), 7)) != ids.batch_of(lines[2, 0])
    first, last = ids.between(ids.group_of(lines[2, 0]))
    assert sorted(rank for rank, line in lines.items() if first <= line <= last) == [(2, 0), (2, 1), (2, 65_535)]
