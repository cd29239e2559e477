"""Which documents a summary may take: no document waits for two, and none for one that has ended."""

import threading
import uuid
from collections.abc import Sequence

import pytest
import redis
from sqlalchemy import text

from db.session import Sessions
from tasks import errors
from tasks.documents import ingest
from tasks.documents.ingest import NewDocument
from tasks.jobs import endings
from tasks.keys import Caller
from tasks.kinds.summary import Summary
from tasks.summaries import choice
from tests import shelves, tables
from tests.support import waiting
from tests.workers.staged import filed, written


def brought(sessions: Sessions, caller: Caller, *new: NewDocument) -> tuple[uuid.UUID, ...]:
    with sessions.begin() as session:
        return ingest.add(session, caller.tenant_id, None, None, new)


def summarised(sessions: Sessions, caller: Caller, document_ids: Sequence[uuid.UUID]) -> uuid.UUID:
    with sessions.begin() as session:
        asked = tables.Submission("summary", "alpha", Summary(documents=tuple(document_ids)), lane="batch")
        return tables.accept(session, caller, asked).id


def somebody_waits_for_a_lock(sessions: Sessions) -> bool:
    with sessions() as session:
        return bool(session.scalar(text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")))


def test_of_two_summaries_at_once_one_has_the_document(sessions: Sessions, caller: Caller) -> None:
    """The other is refused by the document's place, as if it had come later."""
    [other, wanted] = brought(sessions, caller, written("one"), filed(b"two"))
    refused: list[errors.InvalidField] = []

    def come_second() -> None:
        try:
            summarised(sessions, caller, [other, wanted])
        except errors.InvalidField as error:
            refused.append(error)

    second = threading.Thread(target=come_second)
    with sessions.begin() as session:
        choice.take(session, caller, [wanted], uuid.uuid4())
        second.start()
        waiting.until(lambda: somebody_waits_for_a_lock(sessions))
    second.join()
    assert [error.field for error in refused] == ["documents.1"]
    assert "isn't ready: it is pending" in str(refused[0])


def test_document_of_a_summary_that_has_ended_can_be_named_again(
    sessions: Sessions, caller: Caller, client: redis.Redis
) -> None:
    """Cancelled before the file was read; while it waits no other gets it."""
    documents = brought(sessions, caller, filed(b"one"), filed(b"two"))
    first = summarised(sessions, caller, documents)
    with pytest.raises(errors.InvalidField, match="isn't ready"):
        summarised(sessions, caller, documents[1:])
    endings.cancel(sessions, client, caller, first, ttl_s=60)
    second = summarised(sessions, caller, documents[1:])
    with sessions() as session:
        assert [each.id for each in ingest.work(session, caller.tenant_id, second).waiting] == [documents[1]]


def test_document_of_a_collection_waits_for_its_own_job(
    sessions: Sessions, caller: Caller, client: redis.Redis
) -> None:
    """Also where that has ended: a summary would make it ready without its chunks."""
    with sessions.begin() as session:
        job_id = shelves.bring(session, caller, "facts", [written("one")]).id
    with sessions() as session:
        [pending] = ingest.work(session, caller.tenant_id, job_id).waiting
    endings.cancel(sessions, client, caller, job_id, ttl_s=60)
    with pytest.raises(errors.InvalidField, match="isn't ready"):
        summarised(sessions, caller, [pending.id])
