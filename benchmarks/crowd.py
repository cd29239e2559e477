"""Tables as they are after a long time: any number of ended jobs of twenty tenants, one of which has half of them."""

import uuid

from sqlalchemy import text
from sqlalchemy.orm import Session

TENANTS = 20
DAYS = 60  # over which they ended
# Of a thousand jobs ten were cancelled and five failed, and one was of a rare model; one of seven is an embedding.
# Nobody asked a question, and nothing has expired.
_ENDED = """
INSERT INTO jobs (id, tenant_id, type, stage, queue, model, status, lane, priority, attempt, seed, metadata, input,
                  params,
                  prompt_tokens, completion_tokens, error_code, created_at, dispatched_at, started_at, finished_at)
SELECT uuidv7(-ago), tenants[CASE WHEN n % 2 = 0 THEN 1 ELSE n / 2 % :tenants + 1 END],
       CASE WHEN n % 7 = 3 THEN 'embed' ELSE 'generate' END, 'generate', model, model, status,
       CASE WHEN n % 3 = 0 THEN 'batch' ELSE 'interactive' END, 5, 1, 1, '{}', '{}', '{}',
       10, 20, CASE WHEN status = 'failed' THEN 'engine_error' END, at, at, at, at
FROM (SELECT array_agg(id ORDER BY name) AS tenants FROM tenants) theirs, generate_series(1, :number) n,
     make_interval(secs => :days * 86400.0 * (1 - n::float8 / :number)) ago, LATERAL (SELECT now() - ago AS at) ended,
     LATERAL (SELECT CASE WHEN n % 997 = 7 THEN 'rare' ELSE 'usual' END AS model,
                     CASE WHEN n % 199 = 1 THEN 'failed' WHEN n % 101 = 2 THEN 'cancelled' ELSE 'succeeded' END
                         AS status) how
"""
_OUTPUTS = """
INSERT INTO job_outputs (job_id, entries, token_ids, result)
SELECT id, '[]', '{}', '{"text": "some words of an answer", "finish_reason": "stop"}' FROM jobs
WHERE finished_at IS NOT NULL
"""
_LEDGER = """
INSERT INTO ledger (job_id, tenant_id, kind, model, lane, status, created_at, ended_at, period, ran_s, attempts,
                    prompt_tokens, completion_tokens, embedding_tokens, cached_tokens)
SELECT id, tenant_id, type, model, lane, status, created_at, finished_at, date_trunc('month', finished_at), 1,
       '{"succeeded": 1}', prompt_tokens, completion_tokens, 0, 0 FROM jobs WHERE finished_at IS NOT NULL
"""
# Four of five are the big tenant's, and two of three are batch work.
_WAITING = """
INSERT INTO jobs (id, tenant_id, type, stage, queue, model, status, lane, priority, seed, metadata, input, params)
SELECT uuidv7(), tenants[CASE WHEN n % 5 > 0 THEN 1 ELSE n / 5 % :tenants + 1 END], 'generate', 'generate', 'usual',
       'usual', CASE WHEN n <= 6 THEN 'dispatched' ELSE 'queued' END,
       CASE WHEN n % 3 = 0 THEN 'interactive' ELSE 'batch' END, 5, 1, '{}', '{}', '{}'
FROM (SELECT array_agg(id ORDER BY name) AS tenants FROM tenants) theirs, generate_series(1, :number) n
"""


def fill(session: Session, *, ended: int, waiting: int) -> list[uuid.UUID]:
    """Makes the jobs in tables that are empty, and the tenants, whose ids are given: the big one's first."""
    session.execute(
        text("INSERT INTO tenants (id, name) SELECT uuidv7(), 'tenant ' || lpad(n::text, 2, '0')"
             " FROM generate_series(1, :number) n"),
        {"number": TENANTS},
    )  # fmt: skip
    session.execute(text(_ENDED), {"number": ended, "tenants": TENANTS, "days": DAYS})
    session.execute(text(_OUTPUTS))
    session.execute(text(_LEDGER))
    session.execute(text(_WAITING), {"number": waiting, "tenants": TENANTS})
    return list(session.scalars(text("SELECT id FROM tenants ORDER BY name")))


TABLES = ("jobs", "job_outputs", "ledger")
