"""One tenant's thousands of jobs, by time or by priority, beside another tenant who only goes on asking."""

import datetime as dt
import json
import time
import uuid
from typing import Any

import httpx

from tasks import ids
from tests.faults.checker import Tally
from tests.faults.ground import Ground
from tests.faults.rig import FAST, Rig
from tests.faults.victim import Victim, new_key

_ONE = {"fast-one": FAST}
_STORM_AFTER_S = 3  # the victim's undisturbed time: for making the storm, and for its last requests to end
_DUE_WITHIN_S = 2.0
_STORM_LIMIT_S = 300.0
_LOOK_S = 0.5
_MESSAGES = [{"role": "user", "content": "the sun is on the hill"}]

_COPIES = """
INSERT INTO jobs SELECT (jsonb_populate_record(o, jsonb_build_object('id', made) || %s::jsonb)).*
FROM jobs o, unnest(%s) made WHERE o.id = %s
"""


def expiry_storm(ground: Ground) -> Tally:
    """EXPIRY-STORM: thousands of jobs of one tenant come due at one moment, and all are late a second later."""
    tally, rig = Tally(), ground.rig
    rig.heal(_ONE)
    victim = Victim.of(ground)
    due_at = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=victim.undisturbed_s + _STORM_AFTER_S)
    late_at = due_at + dt.timedelta(seconds=1)
    storm = _many(rig, ground.size(40_000, 4_000), run_at=due_at, due_at=due_at, expires_at=late_at)
    beside = _submit(rig, victim.key, due_at)
    with victim.beside(tally):
        _await_end(rig, storm, at_least_s=ground.size(20, 8))
    (waited_s,) = rig.rows("SELECT extract(epoch FROM started_at - due_at) FROM jobs WHERE id = %s", beside)[0]
    tally.notes.append(f"another's job that came due with them started after {waited_s:.1f} s")
    tally.aim(waited_s < _DUE_WITHIN_S, f"another's job that came due with them waited {waited_s:.1f} s")
    return _counted(tally, rig, storm)


def priority_flood(ground: Ground) -> Tally:
    """PRIORITY-FLOOD: thousands of one tenant's jobs of the highest priority wait beside another's ordinary ones."""
    tally, rig = Tally(), ground.rig
    rig.heal(_ONE)
    victim = Victim.of(ground)
    with victim.beside(tally):
        flood = _many(rig, ground.size(3_000, 600), status="queued", run_at=None, due_at=None, priority=9)
        _await_end(rig, flood, at_least_s=ground.size(20, 8))
    return _counted(tally, rig, flood)


def _many(rig: Rig, number: int, **columns: Any) -> list[uuid.UUID]:
    """So many jobs of a tenant's: one for tomorrow is submitted, of which PostgreSQL makes these, which differ in some
    columns, faster than any client could."""
    key = new_key(rig, "attacker")
    tomorrow = _submit(rig, key, dt.datetime.now(dt.UTC) + dt.timedelta(days=1))
    made = [ids.new() for _ in range(number)]
    rig.rows(_COPIES, json.dumps(columns, default=str), made, tomorrow)
    httpx.post(f"{rig.url}/v1/jobs/{ids.show(tomorrow)}/cancel", headers=_headers(key)).raise_for_status()
    return made


def _submit(rig: Rig, key: str, run_at: dt.datetime) -> uuid.UUID:
    asked = {"type": "chat", "model": FAST, "input": {"messages": _MESSAGES}, "run_at": run_at.isoformat()}
    answer = httpx.post(f"{rig.url}/v1/jobs", json=asked, headers=_headers(key))
    return uuid.UUID(hex=answer.raise_for_status().json()["id"].removeprefix(ids.JOB))


def _headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _await_end(rig: Rig, job_ids: list[uuid.UUID], at_least_s: float) -> None:
    """Waits until all of them have ended. Raises `TimeoutError`."""
    began = time.monotonic()
    query = "SELECT 1 FROM jobs WHERE id = ANY(%s) AND finished_at IS NULL LIMIT 1"
    while rig.rows(query, job_ids):
        if time.monotonic() - began > _STORM_LIMIT_S:
            raise TimeoutError("not all of them have ended")
        time.sleep(_LOOK_S)
    time.sleep(max(0.0, began + at_least_s - time.monotonic()))


def _counted(tally: Tally, rig: Rig, job_ids: list[uuid.UUID]) -> Tally:
    """Each has an end, and one usage row."""
    ended = "SELECT status, count(*) FROM jobs WHERE id = ANY(%s) AND finished_at IS NOT NULL GROUP BY status"
    ends = dict(rig.rows(ended, job_ids))
    tally.jobs = tally.injections = len(job_ids)
    tally.fired = sum(ends.values())
    tally.lost = len(job_ids) - tally.fired
    (used,) = rig.rows("SELECT count(*) FROM ledger WHERE job_id = ANY(%s)", job_ids)[0]
    tally.usage = abs(used - tally.fired)
    tally.notes.append(f"the others': {ends}")
    return tally
