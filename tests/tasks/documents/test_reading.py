"""How much of a text a model can't read: by the ids of its tokens."""

import numpy as np
import pytest
from sqlalchemy import update

from db.documents import documents
from db.documents.collections import Collection
from db.scope import scope
from db.session import Sessions
from tasks.documents import ranking, reading
from tasks.keys import Caller
from tests import shelves

UNKNOWN = 100
RUSSIAN = "Библиотека закрыта"


def ids(*counts: tuple[int, bool]) -> list[int]:
    """Tokens, [CLS] before and [SEP] behind them: so many of each, which the model has or hasn't."""
    return [101, *(7 if known else UNKNOWN for count, known in counts for _ in range(count)), 102]


@pytest.mark.parametrize(
    ("text", "tokens", "expected"),
    [
        ("the library is closed", ids((4, True)), 0.0),
        ("图书馆周一闭馆", ids((3, True), (4, False)), 4 / 7),
        ("ห้องสมุดเปิดวันอังคาร", ids((1, False)), 1.0),
        (RUSSIAN, ids((16, True)), 1.0),
        (RUSSIAN, ids((5, True)), 0.0),
        ("x² + y² = 4 (a) | 12, 13, 14", ids((18, True)), 0.0),
        ("", ids(), 0.0),
    ],
)
def test_share_of_one_text(text: str, tokens: list[int], expected: float) -> None:
    assert reading.unread([text], [tokens], UNKNOWN, 2) == pytest.approx(expected)


def test_share_of_several_texts_is_that_of_all_their_tokens() -> None:
    texts, tokens = ["the library is closed", RUSSIAN], [ids((4, True)), ids((16, True))]
    assert reading.unread(texts, tokens, UNKNOWN, 2) == pytest.approx(16 / 20)


@pytest.mark.parametrize(("share", "weight"), [(None, 0.3), (0.0, 0.3), (0.64, 0.86), (1.0, 1.0)])
def test_words_weigh_more_the_less_a_model_reads(share: float | None, weight: float) -> None:
    assert reading.leaning(0.3, share) == pytest.approx(weight)


@pytest.mark.parametrize(("share", "first"), [(None, "near"), (0.0, "near"), (1.0, "worded fox")])
def test_search_goes_by_words_where_a_model_cannot_read(
    sessions: Sessions, caller: Caller, share: float | None, first: str
) -> None:
    """What has the question's words comes before what has its vector."""
    vectors = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    home = shelves.filled(sessions, caller, ["near", "worded fox"], vectors)
    with sessions.begin() as session:
        session.execute(update(Collection).where(Collection.id == home).values(unread=share))
    with sessions.begin() as session:
        found = ranking.search(session, caller.tenant_id, "books", "fox", vectors[0], model="embedder", top_k=2)
    assert found[0].text == first


@pytest.mark.parametrize(("share", "told"), [(0.09, []), (0.64, ["embedder can't read 64% of the text"])])
def test_what_is_worth_telling_is_told_once(sessions: Sessions, caller: Caller, share: float, told: list[str]) -> None:
    with sessions.begin() as session:
        document_id = shelves.document(session, caller.tenant_id, shelves.collection(session, caller.tenant_id))
        for _ in range(2):
            reading.note(session, caller.tenant_id, document_id, share, "embedder")
    with sessions.begin() as session, scope(session, caller.tenant_id):
        found = documents.find(session, caller.tenant_id, document_id)
        assert found is not None
        assert found[0].unread == pytest.approx(share)
        assert [warning.partition(":")[0] for warning in found[0].warnings] == told
