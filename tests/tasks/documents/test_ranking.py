"""The fused order, and passages that are joined."""

import dataclasses
import uuid

import numpy as np
import pytest

from db.documents.rankings import Hit
from db.session import Sessions
from tasks.documents import filters, passages, ranking
from tasks.documents.passages import Passage
from tasks.keys import Caller
from tests import shelves, tables

D = 16


def hit(number: int, similarity: float, words: float = 0.0) -> Hit:
    return Hit((uuid.UUID(int=1), number), similarity, words)


def numbers(scored: list[passages.Scored]) -> list[int]:
    return [one.key[1] for one in scored]


def part(number: int, text: str, begins: int | None, *, document: int = 1, score: float = 0.5) -> Passage:
    ends = None if begins is None else begins + len(text)
    about = (None, None, None, {}, (), None, None)
    return Passage(uuid.UUID(int=document), number, score, 0.0, 0.0, text, *about, begins, ends)


def test_score_is_a_mean_of_meaning_and_words() -> None:
    """Weighted; what points the other way counts nothing, and words count at most as if each were there once."""
    near, worded = [hit(0, 0.8), hit(1, 0.4, 2.0), hit(2, -0.5)], [hit(3, 0.0, 9.0), hit(1, 0.4, 2.0)]
    scored = ranking.fuse((near, worded), 4.0, 0.25)
    assert {one.key[1]: one.score for one in scored} == pytest.approx({0: 0.6, 1: 0.425, 2: 0, 3: 0.25})
    assert {one.key[1]: one.words for one in scored} == {0: 0, 1: 0.5, 2: 0, 3: 1}
    assert numbers(scored) == [0, 1, 3, 2]
    assert numbers(ranking.fuse((near, worded), 4.0, 1.0)) == [3, 1, 0, 2]
    assert ranking.fuse(((), ()), 0.0) == []
    assert ranking.fuse(((hit(0, 1.0),),), 0.0)[0].score == pytest.approx(1 - ranking.WORDS_WEIGHT)


def test_of_several_queries_the_best_score_counts() -> None:
    """A chunk that both find is there once."""
    one, other = (ranking.fuse((hits,), 1.0, 0.0) for hits in ([hit(0, 0.9), hit(1, 0.2)], [hit(1, 0.5), hit(2, 0.3)]))
    assert [(scored.key[1], scored.score) for scored in ranking.best([one, other])] == [(0, 0.9), (1, 0.5), (2, 0.3)]


def test_equal_texts_are_shown_once() -> None:
    """The better one stays."""
    found = [part(0, "a", 0), part(1, "b", 0), part(5, "a", 0, document=2)]
    assert passages.different(found) == found[:2]


def test_neighbours_are_those_beside_it_in_its_document() -> None:
    """None before the first, none that was found itself."""
    one, other = uuid.UUID(int=1), uuid.UUID(int=2)
    found = [part(0, "a", 0), part(2, "c", 0), part(7, "x", 0, document=2)]
    assert passages.beside(found, 1) == {(one, 1), (one, 3), (other, 6), (other, 8)}


def test_what_stands_side_by_side_is_one_passage() -> None:
    """With the best one's score and number, in the order of scores; what two share stands there once."""
    found = [
        part(3, "three four", 8, score=0.9), part(9, "nine", 50, score=0.8), part(2, "one two three", 0, score=0.7),
        part(4, "five", 19, score=0.6), part(3, "other", 0, document=2, score=0.1),
    ]  # fmt: skip
    joined = passages.joined(found, {})
    assert [(one.chunk, one.score, one.text, one.begins, one.ends) for one in joined] == [
        (3, 0.9, "one two three four\nfive", 0, 23), (9, 0.8, "nine", 50, 54), (3, 0.1, "other", 0, 5),
    ]  # fmt: skip


def test_joined_passage_is_as_long_as_its_place_in_the_document() -> None:
    """So that what is found in it is where it is said to be; what stands far apart isn't joined."""
    text = "First chunk here.\n\n\n   The code of the harbour is 19. And more."
    code, more = text.index("The code"), text.index("And")
    found = [part(1, text[code : more - 1], code), part(0, text[: code - 6], 0), part(2, text[more:], more)]
    found[1] = dataclasses.replace(found[1], header="a | b")
    [joined] = passages.joined(found, {})
    assert (len(joined.text), joined.begins, joined.ends) == (len(text), 0, len(text))
    assert joined.text.split() == text.split()
    assert joined.text[code:].startswith("The code")
    assert joined.header == "a | b"
    apart = passages.joined([part(0, "a", 0), part(1, "b", 1_000_000)], {})
    assert [one.text for one in apart] == ["a", "b"]


def test_chunks_whose_place_is_not_known_are_joined_by_lines() -> None:
    """Those of an earlier version."""
    [joined] = passages.joined([part(0, "a", None), part(1, "b", None)], {})
    assert (joined.text, joined.begins, joined.ends) == ("a\nb", None, None)


@pytest.mark.parametrize("limit", [0, 5_000])
def test_filtered_search_is_complete(
    sessions: Sessions, caller: Caller, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """Whether few documents are left or many, and whatever comes before them in the whole collection."""
    monkeypatch.setattr(ranking, "FEW_CHUNKS", limit)
    vectors = shelves.units(60, D)
    with sessions.begin() as session:
        home = shelves.collection(session, caller.tenant_id, dimensions=D)
        for number in range(20):
            document_id = shelves.document(session, caller.tenant_id, home, labels={"number": number})
            rows = vectors[3 * number : 3 * number + 3]
            shelves.fill(session, caller.tenant_id, home, document_id, [f"fox {number} {i}" for i in range(3)], rows)
        shelves.document(session, caller.tenant_id, home, labels={"number": 3}, chunks=1)
    only = filters.parse({"type": "in", "key": "number", "value": [3, 11]})
    asked = shelves.units(1, D, seed=1)[0]
    with sessions.begin() as session:
        found = ranking.search(
            session, caller.tenant_id, "books", "fox", asked, model="embedder", top_k=10, filter=only
        )
    assert {passage.metadata["number"] for passage in found} == {3, 11}
    assert len(found) == 6
    nearest = sorted((*range(9, 12), *range(33, 36)), key=lambda row: -float(vectors[row] @ asked))
    assert [passage.similarity for passage in found] == pytest.approx(
        [float(vectors[row] @ asked) for row in nearest], abs=1e-5
    )


def test_search_shows_neighbours(sessions: Sessions, caller: Caller) -> None:
    """Of the same document and of nobody else's."""
    shelves.filled(sessions, tables.tenant(sessions, "theirs"), ["x"] * 3, shelves.units(3, D))
    shelves.filled(sessions, caller, ["one", "two", "three", "four"], np.eye(4, D, dtype=np.float32))
    with sessions.begin() as session:
        [passage] = ranking.search(
            session, caller.tenant_id, "books", "", np.eye(D, dtype=np.float32)[1], model="embedder", top_k=1,
            neighbours=1,
        )  # fmt: skip
    assert (passage.chunk, passage.text) == (1, "one\ntwo\nthree")


def test_search_finds_as_many_as_asked_beneath_many_equal_texts(sessions: Sessions, caller: Caller) -> None:
    """However many of the best are one text."""
    asked = np.eye(D, dtype=np.float32)[0]
    near = [asked + number * np.eye(D, dtype=np.float32)[1] / 100 for number in range(20)]
    texts = ["boilerplate"] * 12 + [f"text {number}" for number in range(8)]
    vectors = np.stack([vector / np.linalg.norm(vector) for vector in near]).astype(np.float32)
    shelves.filled(sessions, caller, texts, vectors)
    with sessions.begin() as session:
        found = ranking.search(session, caller.tenant_id, "books", "", asked, model="embedder", top_k=4)
    assert [one.text for one in found] == ["boilerplate", "text 0", "text 1", "text 2"]
