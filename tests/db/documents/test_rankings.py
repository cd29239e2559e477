"""Rankings of chunks, by meaning and by words."""

import math
import uuid

import numpy as np
import pytest
from sqlalchemy import text

from db.documents import documents, rankings, words
from db.documents.documents import Document
from db.documents.rankings import Hit, Reach, Way
from db.documents.words import Worded
from db.scope import scope
from db.session import Sessions
from tasks.keys import Caller
from tests import shelves, tables

ONE = np.array([1, 0], dtype=np.float32)


def numbers(hits: list[Hit]) -> list[int]:
    return [hit.key[1] for hit in hits]


def worded(
    sessions: Sessions,
    caller: Caller,
    home: uuid.UUID,
    query: str,
    *,
    chunks: int = 3,
    config: str = "english",
    enough: int = 2_000,
    whole: bool = False,
) -> list[Hit]:
    """What the question's words find in a collection of so many chunks; `whole` has every chunk looked at."""
    with sessions.begin() as session, scope(session, caller.tenant_id):
        [asked] = words.asked(session, [Worded(home, config, chunks)], query, enough=enough)
        what = (session, Reach(caller.tenant_id, home), ONE, asked)
        [hits] = rankings.ranked(*what, ("all words" if whole else "words",), depth=10)
        return hits


def test_nearest_ranks_by_cosine_similarity(sessions: Sessions, caller: Caller) -> None:
    """The most similar first, with the cosine of the angle; a vector without a direction is similar to nothing."""
    vectors = np.array([[0, 1], [1, 0], [0.6, 0.8], [-1, 0], [0, 0]], dtype=np.float32)
    home = shelves.filled(sessions, caller, list("abcde"), vectors)
    with sessions.begin() as session, scope(session, caller.tenant_id):
        what = (session, Reach(caller.tenant_id, home), vectors[1], words.NOTHING)
        [hits] = rankings.ranked(*what, ("vectors",), depth=10)
    assert numbers(hits) == [1, 2, 0, 3, 4]
    assert [hit.similarity for hit in hits] == pytest.approx([1, 0.6, 0, -1, 0])


def test_words_in_common_rank(sessions: Sessions, caller: Caller) -> None:
    """Any word of the question counts, in whatever form; more of them count more."""
    texts = ["The harbour is closed.", "Closing harbours costs money.", "Nobody knows."]
    home = shelves.filled(sessions, caller, texts, shelves.units(3, 2))
    for whole in (False, True):
        hits = worded(sessions, caller, home, "What does it cost to close a harbour?", whole=whole)
        assert numbers(hits) == [1, 0]


def test_score_is_bm25(sessions: Sessions, caller: Caller) -> None:
    """With k1 = 1.2 and b = 0.75; a chunk is as long as its tokens are to the usual, here one to 96."""
    home = shelves.filled(sessions, caller, ["fox fox hen", "hen", "hen cow"], shelves.units(3, 2))
    length = 1.2 * (0.25 + 0.75 / 96)

    def points(repeats: int, chunks: int) -> float:
        return math.log(1 + (3 - chunks + 0.5) / (chunks + 0.5)) * repeats * 2.2 / (repeats + length)

    hits = worded(sessions, caller, home, "fox hen")
    assert {hit.key[1]: hit.words for hit in hits} == pytest.approx(
        {0: points(2, 1) + points(1, 3), 1: points(1, 3), 2: points(1, 3)}, abs=1e-3
    )


def test_rare_code_in_a_sentence_is_first(sessions: Sessions, caller: Caller) -> None:
    """Though every other chunk has more of the sentence's words."""
    texts = [f"The server said error {number}: the server is in error." for number in range(60)]
    texts[41] = "Ask for part QX-7741."
    home = shelves.filled(sessions, caller, texts, shelves.units(60, 2))
    query = "What does the error QX-7741 of the server mean?"
    assert numbers(worded(sessions, caller, home, query, chunks=60))[0] == 41


@pytest.mark.parametrize(
    "query", ["", "the of and", "   ", "?!", "'", "\\", "'\\' | !! & (", ":*", "a:b\\:'c' <-> d", "x" * 5000]
)
def test_question_of_nothing_but_signs_finds_no_words(sessions: Sessions, caller: Caller, query: str) -> None:
    """What looks like PostgreSQL's own syntax is text like any other."""
    home = shelves.filled(sessions, caller, ["one"], shelves.units(1, 2))
    for whole in (False, True):
        assert worded(sessions, caller, home, query, whole=whole) == []


def test_words_with_signs_in_them_are_found(sessions: Sessions, caller: Caller) -> None:
    """Addresses and paths are words as well."""
    home = shelves.filled(sessions, caller, [r"see C:\temp\new and o'neill at x.org/a&b|c?d='e'"], shelves.units(1, 2))
    for query in (r"C:\temp\new", "o'neill", "x.org/a&b|c?d='e'"):
        assert numbers(worded(sessions, caller, home, query)) == [0], query


def test_language_says_what_a_word_is(sessions: Sessions, caller: Caller) -> None:
    """The same configuration makes the words of a chunk and of a question."""
    home = shelves.filled(sessions, caller, ["die Häuser am Hafen"], shelves.units(1, 2), config="german")
    assert numbers(worded(sessions, caller, home, "Haus", config="german")) == [0]
    assert worded(sessions, caller, home, "die am", config="german") == []


def test_common_words_choose_together(sessions: Sessions, caller: Caller) -> None:
    """Where no word is in few chunks, those are looked at that have several."""
    texts = ["fox", "hen"] * 20 + ["fox hen"]
    home = shelves.filled(sessions, caller, texts, shelves.units(41, 2))
    assert numbers(worded(sessions, caller, home, "fox hen", chunks=41, enough=15)) == [40]
    assert len(worded(sessions, caller, home, "fox", chunks=41, enough=15)) == 10


@pytest.mark.parametrize(
    ("counts", "any_of", "all_of"),
    [
        ({}, (), ()),
        ({1: 5, 2: 5}, (1, 2), ()),
        ({1: 0, 2: 5}, (1, 2), ()),
        ({1: 5, 2: 50}, (1,), ()),
        ({1: 5, 2: 50, 3: 20, 4: 90}, (1,), (3, 2)),
        ({1: 60, 2: 50, 3: 90}, (), (2, 1, 3)),
        ({1: 60, 2: 10}, (2,), ()),
        ({1: 60}, (), (1,)),
    ],
)
def test_rarest_words_choose(counts: dict[int, int], any_of: tuple[int, ...], all_of: tuple[int, ...]) -> None:
    """Of a hundred chunks about ten are to be looked at; a rarer word weighs more."""
    asked = words.chosen(counts, 100, 10)
    assert (asked.any_of, asked.all_of) == (any_of, all_of)
    by_weight = sorted(asked.weights, key=lambda term: -asked.weights[term])
    assert [counts[term] for term in by_weight] == sorted(counts.values())


def test_nothing_of_another_collection_or_tenant_is_found(sessions: Sessions, caller: Caller) -> None:
    """By whichever way: the function that reads the index sees all tenants' rows, and gives one's."""
    theirs = tables.tenant(sessions, "theirs")
    foreign = shelves.filled(sessions, theirs, ["fox"], shelves.units(1, 2))
    home = shelves.filled(sessions, caller, ["hen"], shelves.units(1, 2))
    for place in (home, foreign):
        for whole in (False, True):
            assert worded(sessions, caller, place, "fox", whole=whole) == []
    with sessions.begin() as session, scope(session, caller.tenant_id):
        counted = text("SELECT chunks FROM count_words(:home, ARRAY['fox'])")
        assert session.scalar(counted, {"home": foreign}) == 0
        what = (session, Reach(caller.tenant_id, foreign), ONE, words.NOTHING)
        assert rankings.ranked(*what, ("vectors",), depth=5) == [[]]


@pytest.mark.parametrize("whole", [False, True])
def test_reach_narrows_every_ranking(sessions: Sessions, caller: Caller, whole: bool) -> None:
    """Hidden documents are left out; of those among which is searched no other is found, be they ids or a query."""
    with sessions.begin() as session:
        home = shelves.collection(session, caller.tenant_id, dimensions=2)
        made = [shelves.document(session, caller.tenant_id, home) for _ in range(3)]
        for document_id in made:
            shelves.fill(session, caller.tenant_id, home, document_id, ["fox"], shelves.units(1, 2))
    first, second, third = made
    among = documents.select(Document.id).where(Document.id == second)
    reaches = {(first, third): Reach(caller.tenant_id, home, [second]), (first,): None, (second,): None}
    reaches[(first,)] = Reach(caller.tenant_id, home, (), [first])
    reaches[(second,)] = Reach(caller.tenant_id, home, (), among)
    for found, reach in reaches.items():
        assert reach is not None
        with sessions.begin() as session, scope(session, caller.tenant_id):
            [asked] = words.asked(session, [Worded(home, "english", 3)], "fox")
            by_words: Way = "all words" if whole else "words"
            both = rankings.ranked(session, reach, ONE, asked, (by_words, "vectors"), depth=5)
        for hits in both:
            assert tuple(sorted(hit.key[0] for hit in hits)) == found
            assert all(hit.words > 0 for hit in hits)


def test_index_of_words_is_used_within_the_scope(sessions: Sessions, caller: Caller) -> None:
    """Row-level security forbids it to the tenant's role, and doesn't to the function's."""
    home = shelves.filled(sessions, caller, ["fox"], shelves.units(1, 2))
    scans = text("SELECT pg_stat_get_xact_numscans('chunks_terms'::regclass)")
    with sessions.begin() as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))
        with scope(session, caller.tenant_id):
            seen = [session.scalar(scans)]
            [asked] = words.asked(session, [Worded(home, "english", 1)], "fox")
            seen.append(session.scalar(scans))
            [hits] = rankings.ranked(session, Reach(caller.tenant_id, home), ONE, asked, ("words",), depth=5)
            assert len(hits) == 1
            seen.append(session.scalar(scans))
    assert seen[0] < seen[1] < seen[2]


def test_words_of_a_collection_that_is_empty_again_choose_nothing() -> None:
    """Its last document was deleted, its dimensions are known: it is searched like any other."""
    assert words.chosen({1: 0, 2: 0}, 0, 10).best >= 0
