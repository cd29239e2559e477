"""What is asked about summaries, and that it reads no more as the jobs become many."""

import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from benchmarks import crowd, plans
from db import migrate, summaries
from db import session as db_session
from db.session import Sessions
from tests.support import databases

JOBS = 15_000
DOCUMENTS, STEPS = 20, 10  # of a summary, and of each of its documents
_FAMILY = """
INSERT INTO jobs (id, tenant_id, parent_id, place, type, stage, queue, model, status, lane, priority, seed, metadata,
                  input, params, prompt_tokens, completion_tokens, started_at, finished_at)
SELECT uuidv7(), tenants.id, :parent, n, 'summary', 'summarize', 'usual', 'usual', 'succeeded', 'batch', 5, 1, '{}',
       '{}', '{}', 10, 1, now(), now()
FROM (SELECT id FROM tenants ORDER BY name LIMIT 1) tenants, generate_series(0, :number - 1) n
RETURNING id
"""


@pytest.fixture(scope="module")
def crowded(postgres_url: str) -> Iterator[tuple[Sessions, uuid.UUID]]:
    """A summary among the jobs of many."""
    with databases.beside(postgres_url, "summaries") as url:
        migrate.upgrade(url)
        with databases.pool(url) as engine:
            sessions = db_session.open_sessions(engine)
            with sessions.begin() as session:
                crowd.fill(session, ended=JOBS, waiting=100)
                summary_id = session.scalar(text("SELECT id FROM jobs WHERE finished_at IS NOT NULL LIMIT 1"))
                assert summary_id is not None
                documents = session.scalars(text(_FAMILY), {"parent": summary_id, "number": DOCUMENTS}).all()
                for document_id in documents:
                    session.execute(text(_FAMILY), {"parent": document_id, "number": STEPS})
                session.execute(text("ANALYZE jobs"))
            yield sessions, summary_id


def test_sum_of_a_family_is_found_by_indexes(crowded: tuple[Sessions, uuid.UUID]) -> None:
    """Over three generations, whatever number of jobs others have."""
    sessions, summary_id = crowded
    with plans.explained(sessions.kw["bind"]) as costs, sessions() as session:
        spent = summaries.spent_in_all(session, summary_id)
    family = DOCUMENTS + DOCUMENTS * STEPS
    assert spent == (10 * family + 10, family + 20)
    [cost] = costs
    assert cost.rows <= 2 * family
    assert cost.indexes == {"jobs_pkey", "jobs_of_parent"}
