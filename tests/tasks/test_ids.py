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
