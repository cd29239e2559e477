"""A job's straight line: submitted, claimed, finished, with one statement each.

Each is written out, and sent by psycopg itself, since every job pays for it. Where nothing else belongs to it, it is a
transaction of its own (`session.alone`): one round trip, one wait for the disk. Else it is part of the caller's
(`session.within`). What returns no row wasn't done; why not, the caller asks in the ordinary way.
"""

import uuid
from collections.abc import Sequence
from functools import cache
from typing import Any

from psycopg.types.numeric import Int4

from db import jobs, ledger
from db.session import Row, Send, Values, as_sql

_WAITS = """(EXISTS (SELECT FROM jobs WHERE queue = %(queue)s AND lane = 'interactive' AND status = 'queued')
    OR EXISTS (SELECT FROM jobs WHERE queue = %(queue)s AND lane = 'batch' AND status = 'queued'))"""


def submit(send: Send, values: Values, room: str | None) -> str:
    """Writes a job down and returns its status: `scheduled` where it has a `run_at`; `dispatched` where it goes
    straight into its queue's window, under the condition `room` (`windows.room`); else `queued`.

    `values` has what `_SUBMITTED` names; `input`, `params`, `metadata` and `webhook` as JSON.
    """
    [row] = send(_submit(room), {name: _typed(values[name]) for name in _SUBMITTED})
    return str(row["status"])


_SUBMITTED = (
    "id", "tenant_id", "key_id", "request_id", "type", "stage", "queue", "model", "lane", "priority", "seed",
    "metadata", "webhook", "created_at", "run_at", "expires_at", "deadline_s", "retry_of", "chances", "input", "params",
    "store", "conversation_id",
)  # fmt: skip


@cache
def _submit(room: str | None) -> str:
    return f"""
WITH look AS MATERIALIZED (
    SELECT %(lane)s::text = 'interactive' AND %(run_at)s::timestamptz IS NULL
        AND coalesce(%(expires_at)s::timestamptz > clock_timestamp(), true) AND {room or "false"} AS free
)
INSERT INTO jobs ({", ".join(_SUBMITTED)}, due_at, status, dispatched_at)
SELECT {", ".join(f"%({name})s{_CASTS.get(name, '')}" for name in _SUBMITTED)}, %(run_at)s,
    CASE WHEN %(run_at)s IS NOT NULL THEN 'scheduled' WHEN free THEN 'dispatched' ELSE 'queued' END,
    CASE WHEN free THEN clock_timestamp() END
FROM look RETURNING status
"""


# The types of parameters which PostgreSQL can't infer: those that may be NULL, and JSON.
_CASTS = {
    **dict.fromkeys(("metadata", "webhook", "input", "params"), "::json"),
    **dict.fromkeys(("run_at", "expires_at"), "::timestamptz"),
    **dict.fromkeys(("deadline_s", "priority", "seed", "chances"), "::int"),
    **dict.fromkeys(("retry_of", "conversation_id"), "::uuid"),
    "store": "::bool",
}


def claim(send: Send, job_ids: Sequence[uuid.UUID], *, queue: str, worker_id: str) -> Sequence[Row]:
    """Takes dispatched jobs for the worker, each under a new attempt number, and returns those that were to be had.

    Of a job it returns what it is run by; the checkpoint of earlier attempts, whether a worker was cut off from one of
    them that nobody has handed on since (`after_loss`); whether anybody waits in the queue (`waits`), and whether its
    end is `told` to anybody (`_TOLD`). Of several, those that others hold at this moment
    are left out, and those whose next crash would be their end as poison: such a one is taken by itself, and only while
    the worker runs no other (docs/adr/0006).
    """
    ids = {f"id_{n}": job_id for n, job_id in enumerate(job_ids)}
    return send(_claim(len(job_ids)), ids | {"queue": queue, "worker": worker_id})


# Whether an attempt was lost with its worker, or taken from a silent one, after the last that passed the job on.
_SINCE_LOSS = """SELECT max(number) FILTER (WHERE how IN ('lost', 'taken'))
    > coalesce(max(number) FILTER (WHERE how = 'passed_on'), 0) FROM job_attempts WHERE job_id = jobs.id"""


@cache
def _claim(number: int) -> str:
    beside = """OR NOT EXISTS (SELECT FROM jobs AS other
        WHERE other.worker_id = %(worker)s AND other.status = 'running' AND other.crashes >= other.chances - 1)"""
    return f"""
UPDATE jobs SET status = 'running', attempt = attempt + 1, worker_id = %(worker)s,
    started_at = coalesce(started_at, clock_timestamp()), attempt_started_at = clock_timestamp()
WHERE {_one_of("id", number)} AND queue = %(queue)s AND status = 'dispatched' AND {as_sql(jobs.may_start())}
    AND (crashes < chances - 1 {beside if number == 1 else ""})
RETURNING id, tenant_id, type, stage, model, lane, attempt, crashes, seed, input, params, stage_input,
    created_at, due_at, started_at, {_WAITS} AS waits, {_TOLD} AS told,
    CASE WHEN attempt > 1 THEN (SELECT entries FROM job_outputs WHERE job_id = jobs.id) END AS entries,
    CASE WHEN attempt > 1 THEN (SELECT token_ids FROM job_outputs WHERE job_id = jobs.id) END AS token_ids,
    CASE WHEN attempt > 1 THEN (SELECT json_agg(c.entries ORDER BY first) FROM job_checkpoints AS c
        WHERE c.job_id = jobs.id) END AS pieces,
    CASE WHEN attempt > 1 THEN ({_SINCE_LOSS}) END AS after_loss
"""


def _one_of(column: str, number: int) -> str:
    """The condition that a job is one of `id_0`, `id_1` …

    One job's row is waited for. Of several, a row that another transaction holds is left out: all would wait for it.
    """
    if number == 1:
        return f"{column} = %(id_0)s"
    ids = ", ".join(f"%(id_{n})s" for n in range(number))
    return f"{column} IN (SELECT id FROM jobs WHERE id IN ({ids}) FOR UPDATE SKIP LOCKED)"


# Whether a job's end is told to anybody in its transaction: to its conversation, which gets what was said, or to a
# webhook, which hears of no child.
_TOLD = """(conversation_id IS NOT NULL OR parent_id IS NULL AND (webhook IS NOT NULL OR EXISTS (
    SELECT FROM webhook_endpoints AS w WHERE w.tenant_id = jobs.tenant_id AND NOT w.disabled
)))"""


def finish(send: Send, ends: Sequence[Values], *, untold: bool) -> Sequence[Row]:
    """Ends attempts with their jobs, all in one statement: the job, the attempt, the output, vectors, the ledger's row.

    `ends` have what `_END` names: `first_token_s` is counted from the attempt's beginning, tokens are added to what the
    job has spent. Returned are the rows of those that could be ended: of an attempt that is the newest of a job that
    runs, or that waits since its worker's lease ran out, and so still names the worker: one that was given away, to its
    next stage or its queue, names none. With `untold`, only where nobody is to be told of the end. Of several, those
    that others hold at this moment are left out.

    It drops the checkpoints that were committed before it began: the caller lets none be written meanwhile.
    """
    text = _finish(len(ends), untold, any(end["vectors"] is not None for end in ends))
    return send(text, {f"{name}_{n}": _typed(end[name]) for n, end in enumerate(ends) for name in _END})


# What each end has, and its type in PostgreSQL.
_END = {
    "id": "uuid",
    "attempt": "int",
    "status": "text",
    "done": "int",
    "total": "int",
    "prompt": "int",
    "completion": "int",
    "embedding": "int",
    "cached": "int",
    "code": "text",
    "message": "text",
    "first_token_s": "float8",
    "entries": "json",
    "token_ids": "int[]",
    "result": "json",
    "dimensions": "int",
    "vectors": "bytea",
}
# What is made into a view of the ended job, and told of it: all but what went in.
_SHOWN = """id, tenant_id, parent_id, type, model, queue, status, lane, priority, attempt, created_at, started_at,
    finished_at, progress_done, progress_total, prompt_tokens, completion_tokens, embedding_tokens, cached_tokens,
    error_code, error_message, metadata, webhook, run_at, expires_at, deadline_s, retry_of, conversation_id"""


@cache
def _finish(number: int, untold: bool, vectors: bool) -> str:
    rows = (", ".join(f"%({name}_{n}){_format(type)}::{type}" for name, type in _END.items()) for n in range(number))
    kept = """,
made AS (
    INSERT INTO job_vectors (job_id, dimensions, data)
    SELECT e.id, e.dimensions, e.vectors FROM j JOIN e USING (id, attempt) WHERE e.vectors IS NOT NULL
)"""
    return f"""
WITH e ({", ".join(_END)}) AS MATERIALIZED (VALUES ({"), (".join(rows)})),
j AS (
    UPDATE jobs SET status = e.status, finished_at = clock_timestamp(), progress_done = e.done,
        progress_total = e.total, error_code = e.code, error_message = e.message, stage_input = NULL,
        prompt_tokens = coalesce(prompt_tokens, 0) + e.prompt,
        completion_tokens = coalesce(completion_tokens, 0) + e.completion,
        embedding_tokens = coalesce(embedding_tokens, 0) + e.embedding,
        cached_tokens = coalesce(cached_tokens, 0) + e.cached,
        first_token_at = coalesce(first_token_at, attempt_started_at + make_interval(secs => e.first_token_s))
    FROM e WHERE jobs.id = e.id AND {_one_of("jobs.id", number)} AND jobs.attempt = e.attempt
        AND (jobs.status = 'running' OR jobs.status = 'dispatched' AND jobs.worker_id IS NOT NULL)
        {f"AND NOT {_TOLD}" if untold else ""}
    RETURNING jobs.*
),
noted AS (
    INSERT INTO job_attempts (job_id, number, worker_id, model, stage, started_at, ended_at, how, error_code)
    SELECT id, attempt, coalesce(worker_id, ''), queue, stage, attempt_started_at, finished_at, status, error_code
    FROM j ON CONFLICT (job_id, number)
    DO UPDATE SET ended_at = excluded.ended_at, how = excluded.how, error_code = excluded.error_code
),
kept AS (
    INSERT INTO job_outputs (job_id, entries, token_ids, result)
    SELECT e.id, e.entries, e.token_ids, e.result FROM j JOIN e USING (id, attempt) ON CONFLICT (job_id)
    DO UPDATE SET entries = excluded.entries, token_ids = excluded.token_ids, result = excluded.result
){kept if vectors else ""},
dropped AS (DELETE FROM job_checkpoints USING j WHERE job_id = j.id),
entered AS ({ledger.insertion("j", "SELECT j.status, j.attempt_started_at, j.finished_at")})
SELECT {_SHOWN} FROM j
"""


def _format(type: str) -> str:
    return "b" if type == "bytea" else "s"


def _typed(value: Any) -> Any:
    """One type for integers large and small: a statement is prepared for each combination of types.

    What has no room in four bytes is left to PostgreSQL to refuse: psycopg would cut it off.
    """
    return Int4(value) if type(value) is int and -(2**31) <= value < 2**31 else value
