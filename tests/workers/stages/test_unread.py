"""Documents that their model can't read, on real PostgreSQL and Redis."""

from typing import Any

import pytest
from sqlalchemy import select

from db.documents import collections, documents
from db.documents.documents import Document
from db.scope import scope
from db.session import Sessions
from tasks.keys import Caller
from tests.workers.conftest import MakeWorker
from tests.workers.staged import ingesting, written
from workers import run
from workers.engines.echo import Echo


def blind(word: str) -> Echo:
    """An engine whose vocabulary lacks a word."""
    engine = Echo("embedder", 2, 64)
    engine.unknown = engine.tokenize([word])[0][0]
    return engine


@pytest.mark.parametrize(
    ("engine", "unread", "warnings"),
    [
        (blind("squiggle"), 0.75, ["embedder can't read 75% of the text"]),
        (blind("other"), 0.0, []),
        (Echo("embedder", 2, 64), None, []),
    ],
    ids=["lacking", "whole", "unable to tell"],
)
def test_document_says_how_much_its_model_cannot_read(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, engine: Echo, unread: float | None, warnings: list[str]
) -> None:
    """And the collection's share is that of all its chunks."""
    text = "squiggle squiggle squiggle here"
    run.run(make_worker("embedder", engine), ingesting(sessions, caller, written(text), written("squiggle " * 3)))
    with sessions.begin() as session, scope(session, caller.tenant_id):
        found: Any = session.execute(select(Document.unread, Document.warnings).order_by(Document.id)).all()
        home = collections.find(session, caller.tenant_id, "facts")
        assert home is not None
        assert documents.unread(session, caller.tenant_id, home.id) == ((unread or 0) + bool(unread)) / 2
    assert found[0].unread == unread
    assert [warning.partition(":")[0] for warning in found[0].warnings] == warnings
