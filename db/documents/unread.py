"""How much of documents and collections their model can't read, as shares from 0 to 1.

Each function is called within `scope.scope` of the tenant it names.
"""

import uuid

from sqlalchemy import REAL, cast, func, select, update
from sqlalchemy.dialects.postgresql import JSONPATH
from sqlalchemy.orm import Session

from db.documents.collections import Collection
from db.documents.documents import Document

# As a regular expression of SQL/JSON paths: what is in every warning of this.
WARNING = "can't read [0-9]+% of the text"
_LATELY = 200  # documents

_OPTIONS = {"synchronize_session": False}


def keep(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, share: float) -> None:
    """Keeps the document's share, and the collection's, which is that of the documents it was brought lately."""
    where = (Document.tenant_id == tenant_id, Document.id == document_id)
    statement = update(Document).where(*where).values(unread=share).returning(Document.collection_id)
    home = session.scalar(statement, execution_options=_OPTIONS)
    if home is None:
        return
    known = (Document.tenant_id == tenant_id, Document.collection_id == home, Document.unread.is_not(None))
    newest = (
        select(Document.unread, Document.bytes).where(*known).order_by(Document.id.desc()).limit(_LATELY).subquery()
    )
    size = func.greatest(newest.c.bytes, 1)
    mean = select(cast(func.sum(newest.c.unread * size) / func.sum(size), REAL)).scalar_subquery()
    other = (Collection.tenant_id == tenant_id, Collection.id == home, Collection.unread.is_distinct_from(mean))
    session.execute(update(Collection).where(*other).values(unread=mean), execution_options=_OPTIONS)


def renew(session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID, share: float | None) -> None:
    """Gives the collection this share of a new model, and those of its documents that had one, for it didn't tell them
    apart; what warned of theirs is gone. None where the new model doesn't tell."""
    where = (Document.tenant_id == tenant_id, Document.collection_id == collection_id, Document.unread.is_not(None))
    others = func.jsonb_path_query_array(Document.warnings, cast(f'$[*] ? (!(@ like_regex "{WARNING}"))', JSONPATH))
    session.execute(update(Document).where(*where).values(unread=share, warnings=others), execution_options=_OPTIONS)
    own = (Collection.tenant_id == tenant_id, Collection.id == collection_id)
    session.execute(update(Collection).where(*own).values(unread=share), execution_options=_OPTIONS)
