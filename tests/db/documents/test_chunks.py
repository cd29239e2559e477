"""Rankings of chunks, by meaning and by words."""

import numpy as np
import pytest

from db.documents import chunks
from db.scope import scope
from db.session import Sessions
from tasks.keys import Caller
from tests import shelves


def numbers(hits: list[chunks.Hit]) -> list[int]:
    return [hit.key[1] for hit in hits]


def test_nearest_ranks_by_cosine_similarity(sessions: Sessions, caller: Caller) -> None:
    """The most similar first, with the cosine of the angle; a vector without a direction is similar to nothing."""
    vectors = np.array([[0, 1], [1, 0], [0.6, 0.8], [-1, 0], [0, 0]], dtype=np.float32)
    home = shelves.filled(sessions, caller, list("abcde"), vectors)
    with sessions.begin() as session, scope(session, caller.tenant_id):
        hits = chunks.nearest(session, caller.tenant_id, home, vectors[1], depth=10)
    assert numbers(hits) == [1, 2, 0, 3, 4]
    assert [hit.similarity for hit in hits] == pytest.approx([1, 0.6, 0, -1, 0])


def test_worded_ranks_by_the_words_in_common(sessions: Sessions, caller: Caller) -> None:
    """Any word of the question counts, in whatever form; more of them count more."""
    texts = ["The harbour is closed.", "Closing harbours costs money.", "Nobody knows."]
    home = shelves.filled(sessions, caller, texts, shelves.units(3, 2))
    with sessions.begin() as session, scope(session, caller.tenant_id):
        hits = chunks.worded(
            session,
            caller.tenant_id,
            home,
            "What does it cost to close a harbour?",
            shelves.units(1, 2)[0],
            config="english",
            depth=10,
        )
    assert numbers(hits) == [1, 0]


@pytest.mark.parametrize(
    "query", ["", "the of and", "   ", "?!", "'", "\\", "'\\' | !! & (", ":*", "a:b\\:'c' <-> d", "x" * 5000]
)
def test_question_of_nothing_but_signs_finds_no_words(sessions: Sessions, caller: Caller, query: str) -> None:
    """What looks like PostgreSQL's own syntax is text like any other."""
    home = shelves.filled(sessions, caller, ["one"], shelves.units(1, 2))
    with sessions.begin() as session, scope(session, caller.tenant_id):
        assert (
            chunks.worded(session, caller.tenant_id, home, query, shelves.units(1, 2)[0], config="english", depth=10)
            == []
        )


def test_words_with_signs_in_them_are_found(sessions: Sessions, caller: Caller) -> None:
    """Addresses and paths are lexemes with slashes and backslashes, quoted on their way."""
    home = shelves.filled(sessions, caller, [r"see C:\temp\new and o'neill at x.org/a&b|c?d='e'"], shelves.units(1, 2))
    with sessions.begin() as session, scope(session, caller.tenant_id):
        for query in (r"C:\temp\new", "o'neill", "x.org/a&b|c?d='e'"):
            hits = chunks.worded(
                session, caller.tenant_id, home, query, shelves.units(1, 2)[0], config="english", depth=10
            )
            assert numbers(hits) == [0], query


def test_labels_narrow_both_rankings(sessions: Sessions, caller: Caller) -> None:
    """Numbers match by value, kinds don't mix."""
    home = shelves.filled(sessions, caller, ["one"], shelves.units(1, 2), year=2020, draft=True, by="Anna")
    vector = shelves.units(1, 2)[0]
    matching = [{"year": 2020}, {"year": 2020.0}, {"by": "Anna", "draft": True}]
    for labels in [*matching, {"year": "2020"}, {"draft": 1}, {"by": "anna"}, {"by": "Anna", "year": 1}, {"x": 1}]:
        with sessions.begin() as session, scope(session, caller.tenant_id):
            near = chunks.nearest(session, caller.tenant_id, home, vector, depth=5, labels=labels)
            worded = chunks.worded(
                session, caller.tenant_id, home, "one", vector, config="english", depth=5, labels=labels
            )
        assert len(near) == len(worded) == (labels in matching), labels
