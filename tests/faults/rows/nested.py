"""NESTED: a job made of jobs that are made of others, as a summary of long documents is, whose processes die."""

import time
import uuid
from typing import Any

from cli.launcher import lineup
from tasks import ids
from tests.faults.checker import Tally
from tests.faults.ground import Ground
from tests.faults.rig import DEMO, Rig, fresh_connections

_WORKER = "nested-one"
_VICTIMS = ("worker", "engine host", "control worker")
_DOCUMENTS = 4
_SENTENCE = "In year {year} the lamp of house {number} stood in the kitchen of {name}, who paid {coins} coins for it."
_SENTENCE_TOKENS = 30  # some
_NAMES = ("Anna", "Tom", "Clara", "Oscar")
_TREE = """
    WITH RECURSIVE family AS (
        SELECT id, parent_id, place, status, stage, 0 AS depth FROM jobs WHERE id = %s
        UNION ALL
        SELECT jobs.id, jobs.parent_id, jobs.place, jobs.status, jobs.stage, family.depth + 1
        FROM jobs JOIN family ON jobs.parent_id = family.id
    )
"""


def summary_in_the_middle(ground: Ground) -> Tally:
    """NESTED: each document has one result, each job of the family ends once and is paid once, none is made twice.

    Killed at random, when so many parts of documents have ended: the model's worker, its engine host, or the control
    worker, which shares out what there is to do.
    """
    tally, rig = Tally(), ground.rig
    rig.heal({_WORKER: DEMO})
    for number in range(ground.size(9, 3)):
        tally.injections += 1
        parent_id, ended = _asked(ground), ground.random.randint(0, _DOCUMENTS)
        rig.until(lambda id=parent_id, least=ended: _parts(rig, id) and _parts(rig, id, ended=True) >= least)
        killed_at = _kill(rig, _VICTIMS[number % len(_VICTIMS)])
        tally.fired += _status(rig, parent_id) in ("running", "waiting")
        rig.until(lambda id=parent_id: _status(rig, id) in ("succeeded", "failed"))
        tally.recoveries_s.append(time.monotonic() - killed_at)
        _check(rig, tally, parent_id)
    return ground.check(ground.party(), tally)


def _asked(ground: Ground) -> uuid.UUID:
    """A summary of documents each of which is too long for one prompt, and of all of them together."""
    texts = [_text(ground) for _ in range(_DOCUMENTS)]
    with fresh_connections(ground.rig.url, ground.rig.key) as client:
        answer = client.post("/v1/summaries", json={"texts": texts, "model": DEMO, "combine": True, "sentences": 1})
    answer.raise_for_status()
    found = ids.parse(answer.json()["id"])
    assert isinstance(found, uuid.UUID)
    return found


def _text(ground: Ground) -> str:
    """Never the same: what was summarised once is known."""
    draw = ground.random
    count = 3 * ground.rig.subject.context // _SENTENCE_TOKENS
    facts = (
        (draw.randint(1000, 1999), draw.randint(1, 999), draw.choice(_NAMES), draw.randint(1, 99)) for _ in range(count)
    )
    told = [_SENTENCE.format(year=fact[0], number=fact[1], name=fact[2], coins=fact[3]) for fact in facts]
    return "\n\n".join(told)


def _kill(rig: Rig, victim: str) -> float:
    """Ends it at once, and has it started again; when that was."""
    if victim == "engine host":
        killed_at = time.monotonic()
        rig.host(_WORKER).kill()  # its worker starts another
        return killed_at
    name = _WORKER if victim == "worker" else lineup.CONTROL
    killed_at = rig.kill(name)
    rig.again(name)
    return killed_at


def _check(rig: Rig, tally: Tally, parent_id: uuid.UUID) -> None:
    entered = "(SELECT count(*) FROM ledger WHERE job_id = family.id)"
    found = rig.rows(f"{_TREE} SELECT depth, parent_id, place, status, {entered} FROM family", parent_id)
    depths = [depth for depth, *_ in found]
    tally.jobs += len(found)
    tally.failed += sum(status != "succeeded" for *_, status, _ in found)
    tally.usage += sum(number != 1 for *_, number in found)
    tally.doubled += len(found) - len({(parent, place) for _, parent, place, *_ in found})
    tally.promise(depths.count(2) >= 2 * _DOCUMENTS, f"there are {depths.count(2)} parts of documents")
    results = _results(rig, parent_id)
    documents = [result["document_id"] for result in results if result["summary"]]
    tally.lost += max(0, _DOCUMENTS - len({*documents}))
    tally.doubled += len(documents) - len({*documents})
    [(said,)] = rig.rows("SELECT result->>'summary' FROM job_outputs WHERE job_id = %s", parent_id)
    tally.promise(bool(said), "there is no summary of all")


def _results(rig: Rig, parent_id: uuid.UUID) -> list[dict[str, Any]]:
    with fresh_connections(rig.url, rig.key) as client:
        answer = client.get(f"/v1/summaries/{ids.show(parent_id)}/results", params={"limit": 100})
    answer.raise_for_status()
    return list(answer.json()["data"])


def _parts(rig: Rig, parent_id: uuid.UUID, *, ended: bool = False) -> int:
    """How many parts of documents there are, or have succeeded."""
    condition = " AND status = 'succeeded'" if ended else ""
    return int(rig.rows(f"{_TREE} SELECT count(*) FROM family WHERE depth = 2{condition}", parent_id)[0][0])


def _status(rig: Rig, job_id: uuid.UUID) -> str:
    return str(rig.rows("SELECT status FROM jobs WHERE id = %s", job_id)[0][0])
