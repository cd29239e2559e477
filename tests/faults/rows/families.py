"""FAMILY: a job made of others, whose worker dies among them."""

import time
import uuid

from db import session as db_session
from db import tenants
from tasks import failpoints, ids
from tasks.jobs import jobs
from tasks.jobs.requests import Plan, Submission
from tasks.keys import Caller
from tests.faults import family
from tests.faults.checker import Tally
from tests.faults.family import Lines
from tests.faults.ground import Ground
from tests.faults.rig import ECHO, Rig

_WORKER = "family-one"
_BETWEEN = "families.before_move_on"
_LINES = 12
_WORDS = 40  # of a line: 0.8 s in one of four slots


def worker_among_the_children(ground: Ground) -> Tally:
    """FAMILY: the parent goes on once and ends once, every line has one child, every child one end, each is paid once.

    Killed at random: while the children are being made, or when so many of them have ended. The last time it dies once
    all have, before the parent goes on.
    """
    tally, rig = Tally(), ground.rig
    rig.heal({})  # a worker that doesn't know the kind would fail it
    rounds = ground.size(8, 3)
    for round in range(rounds):
        between = round == rounds - 1
        if between:
            rig.kill(_WORKER)
        if round == 0 or between:
            env = {failpoints.VARIABLE: f"{_BETWEEN}:1"} if between else {}
            rig.worker(_WORKER, ECHO, serve="tests.faults.family", **env)
        tally.injections += 1
        lines = tuple(" ".join(f"line{place}word{n}" for n in range(_WORDS)) for place in range(_LINES))
        parent_id, ended = _asked(rig, lines), ground.random.randint(0, _LINES - 2)
        if between:
            rig.until(lambda: not rig.alive(_WORKER))
        rig.until(lambda id=parent_id, least=ended: _children(rig, id) and _children(rig, id, ended=True) >= least)
        killed_at = rig.kill(_WORKER)
        tally.fired += _BETWEEN in rig.log(_WORKER) if between else _status(rig, parent_id) in ("running", "waiting")
        rig.again(_WORKER)
        rig.until(lambda id=parent_id: _status(rig, id) in ("succeeded", "failed"))
        tally.recoveries_s.append(time.monotonic() - killed_at)
        _check(rig, tally, parent_id, lines)
    return ground.check(ground.party(), tally)


def _asked(rig: Rig, lines: tuple[str, ...]) -> uuid.UUID:
    """A parent of so many lines, written down as the API would."""
    engine = db_session.open_engine(rig.env["FOREBAY_DATABASE_URL"], pool_size=1)
    with db_session.open_sessions(engine).begin() as session:
        caller = Caller(tenants.named(session, "families", ids.new()).id, "")
        plan = Plan(Submission(family.NAME, ECHO, Lines(lines)), family.ADOPT, ECHO, ECHO)
        job_id = jobs.insert(session, caller, plan)[0].id
    engine.dispose()
    return job_id


def _check(rig: Rig, tally: Tally, parent_id: uuid.UUID, lines: tuple[str, ...]) -> None:
    found = rig.rows(
        "SELECT j.status, o.result->>'text', (SELECT count(*) FROM ledger l WHERE l.job_id = j.id)"
        " FROM jobs j LEFT JOIN job_outputs o ON o.job_id = j.id WHERE j.parent_id = %s ORDER BY j.place",
        parent_id,
    )
    tally.jobs += 1 + len(found)
    tally.lost += max(0, len(lines) - len(found))
    tally.doubled += max(0, len(found) - len(lines))
    tally.failed += sum(status != "succeeded" for status, _, _ in found)
    tally.usage += sum(entered != 1 for _, _, entered in found)
    tally.differing += sum((text or "").strip() != line for (_, text, _), line in zip(found, lines, strict=False))
    [(status, result, entered, ways)] = rig.rows(
        "SELECT j.status, o.result, l.number, l.ways FROM jobs j JOIN job_outputs o ON o.job_id = j.id,"
        " LATERAL (SELECT count(*) AS number, max(attempts::text)::json AS ways FROM ledger WHERE job_id = j.id) l"
        " WHERE j.id = %s",
        parent_id,
    )
    tally.failed += status != "succeeded"
    tally.usage += entered != 1
    tally.promise(result == {"children": {"succeeded": len(lines)}}, f"the parent says {result}")
    advanced = {how: number for how, number in (ways or {}).items() if how not in ("lost", "handed_back")}
    tally.promise(advanced == {"passed_on": 1, "succeeded": 1}, f"the parent went on by {ways}")


def _children(rig: Rig, parent_id: uuid.UUID, *, ended: bool = False) -> int:
    condition = " AND finished_at IS NOT NULL" if ended else ""
    return int(rig.rows(f"SELECT count(*) FROM jobs WHERE parent_id = %s{condition}", parent_id)[0][0])


def _status(rig: Rig, job_id: uuid.UUID) -> str:
    return str(rig.rows("SELECT status FROM jobs WHERE id = %s", job_id)[0][0])
