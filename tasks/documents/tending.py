"""Looking after what makes searches fast in large collections: an index of vectors each, and counts of words."""

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db.documents import collections, index, words
from db.documents.index import Large
from db.scope import scope
from db.session import Sessions

# The part by which a collection grows or shrinks before its words are counted again: a word's weight hardly changes.
_CHANGED = 0.25


def tend(engine: Engine, sessions: Sessions, *, least: int = index.LARGE) -> None:
    """Makes what collections of at least so many chunks lack, and drops what is left of others. Idempotent.

    It may take minutes. Does nothing while somebody else is at it.
    """
    with index.alone(engine) as connection:
        if connection is None:
            return
        large = index.large(connection, least)
        for left in index.left_over(connection, large):
            index.drop(connection, left)
        for own in large:
            if _is_due(own):
                with sessions.begin() as session:
                    _count(session, own)
            index.make(connection, own)


def _is_due(own: Large) -> bool:
    return own.counted is None or abs(own.chunks - own.counted) > _CHANGED * own.counted


def _count(session: Session, own: Large) -> None:
    with scope(session, own.tenant_id):
        words.count(session, own.tenant_id, own.collection_id, own.chunks)
        collections.set_counted(session, own.tenant_id, own.collection_id, own.chunks)
