"""Jobs of several kinds, submitted and looked at as the stages of a worker see them."""

import uuid
from typing import Any

from db.session import Sessions
from tasks.documents import ranking
from tasks.documents.ingest import NewDocument
from tasks.jobs import jobs
from tasks.jobs.view import JobView
from tasks.keys import Caller
from tests import shelves, tables
from workers.engines.echo import Echo

FACTS = "The red lamp is in the kitchen.\n\nOscar likes honey.\n\nThe boat costs 42 coins."


def submitted(sessions: Sessions, caller: Caller, **changes: Any) -> uuid.UUID:
    job_id = tables.submit(sessions, caller, **changes).id
    tables.dispatch(sessions, job_id)
    return job_id


def embedding(sessions: Sessions, caller: Caller, *texts: str) -> uuid.UUID:
    return submitted(sessions, caller, type="embed", model="embedder", input={"texts": list(texts)}, params={})


def ingesting(sessions: Sessions, caller: Caller, *new: NewDocument, collection: str = "facts") -> uuid.UUID:
    with sessions.begin() as session:
        job_id = shelves.bring(session, caller, collection, new).id
    tables.dispatch(sessions, job_id)
    return job_id


def asking(sessions: Sessions, caller: Caller, question: str, **params: Any) -> uuid.UUID:
    given = {"question": question, "collection": "facts", "top_k": 2}
    return submitted(sessions, caller, type="rag", input=given, params={"temperature": 0, **params})


def written(text: str, title: str | None = None, external_id: str | None = None) -> NewDocument:
    return NewDocument(text, None, "text", title, None, {"from": "test"}, external_id=external_id)


def filed(raw: bytes, kind: str = "text") -> NewDocument:
    return NewDocument(None, raw, kind, None, f"notes.{kind}", {})


def look(sessions: Sessions, caller: Caller, job_id: uuid.UUID) -> JobView:
    with sessions() as session:
        return jobs.get(session, caller, job_id)


def search(sessions: Sessions, caller: Caller, query: str) -> str:
    echo = Echo("echo", 1, 64)
    with sessions.begin() as session:
        vector = echo.embed(echo.tokenize([query]))[0]
        found = ranking.search(session, caller.tenant_id, "facts", query, vector, model="embedder", top_k=1)
    return found[0].text
