"""BATCH: a file of requests, answered while everything is killed in turn."""

import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import httpx

from cli.launcher import lineup
from tests.faults.checker import Tally
from tests.faults.ground import Ground
from tests.faults.rig import FAST, Rig, fresh_connections

_WORKER = "batch-one"
_URL = "/v1/chat/completions"
_OVER = ("completed", "failed", "expired", "cancelled")
_BETWEEN_S = (1.0, 5.0)
_LIMIT_S = 3600.0
LINES = "BATCH_LINES"  # names in the environment how many there are, where that isn't as usual


def lines_among_kills(ground: Ground) -> Tally:
    """BATCH: every line of a batch is in one of its files, once, with its answer, is one job, and is paid once.

    API, worker, control worker, Redis and PostgreSQL are killed in turn, seconds apart, from the first look at the file
    to the last byte of what is written. A second batch is cancelled at half, among the same kills, unless it is over by
    the first look.
    """
    tally, rig = Tally(), ground.rig
    rig.heal({_WORKER: FAST})
    number = int(os.environ.get(LINES, ground.size(10_000, 400)))
    victims = _victims(ground)
    for at_half in (False, True):
        batch_id = _begun(rig, number)
        over_at, cancelled = _among_kills(ground, tally, victims, batch_id, number // 2 if at_half else None)
        rig.heal({_WORKER: FAST})
        rig.until(lambda id=batch_id: _status(rig, id) in _OVER, _LIMIT_S)
        tally.recoveries_s.append(time.monotonic() - over_at)
        _check(rig, tally, batch_id, number, cancelled=cancelled)
    return ground.check(ground.party(), tally)


def _among_kills(
    ground: Ground, tally: Tally, victims: list[str], batch_id: str, cancel_at: int | None
) -> tuple[float, bool]:
    """Kills and starts again until the batch has ended; the moment of the last kill, and whether it was cancelled."""
    rig, at, cancelled = ground.rig, time.monotonic(), False
    deadline = at + _LIMIT_S
    while _status(rig, batch_id) not in _OVER and time.monotonic() < deadline:
        name = victims[tally.injections % len(victims)]
        tally.injections += 1
        at = rig.kill(name, signal.SIGQUIT if name == "postgres" else signal.SIGKILL)
        tally.fired += 1
        rig.start_server(name) if name in rig.servers else rig.again(name)
        next_at = time.monotonic() + ground.random.uniform(*_BETWEEN_S)
        while time.monotonic() < next_at:
            if cancel_at is not None and not cancelled:
                cancelled = _cancelled(rig, batch_id, cancel_at)
            time.sleep(0.05)
    return at, cancelled


def _cancelled(rig: Rig, batch_id: str, least: int) -> bool:
    """Cancels the batch once so many of its lines are answered; whether it did."""
    found = _look(rig, batch_id)
    if found["status"] != "in_progress" or found["request_counts"]["completed"] < least:
        return False
    told = _surely(rig, lambda http: http.post(f"/v1/batches/{batch_id}/cancel"))
    return told["status"] in ("cancelling", "cancelled")


def _victims(ground: Ground) -> list[str]:
    names = [lineup.CONTROL, _WORKER, lineup.API, "postgres", "redis"]
    ground.random.shuffle(names)
    return names


def _surely(rig: Rig, ask: Callable[[httpx.Client], httpx.Response]) -> dict[str, Any]:
    """What the API answers once it does, however often it must be asked."""
    with fresh_connections(rig.url, rig.key) as http:
        deadline = time.monotonic() + rig.subject.limit_s
        while True:
            try:
                answer = ask(http)
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code < 500:
                return dict(answer.raise_for_status().json())
            if time.monotonic() > deadline:
                raise TimeoutError("the API doesn't answer")
            time.sleep(0.1)


def _begun(rig: Rig, number: int) -> str:
    def line(n: int) -> bytes:
        body = {"model": FAST, "messages": [{"role": "user", "content": f"word{n}"}]}
        return json.dumps({"custom_id": str(n), "method": "POST", "url": _URL, "body": body}).encode() + b"\n"

    raw = b"".join(map(line, range(number)))
    form: Any = {"data": {"purpose": "batch"}, "files": {"file": ("lines.jsonl", raw)}}
    file = _surely(rig, lambda http: http.post("/v1/files", **form, timeout=120))
    asked = {"input_file_id": file["id"], "endpoint": _URL, "completion_window": "24h"}
    once = {"Idempotency-Key": file["id"]}
    return str(_surely(rig, lambda http: http.post("/v1/batches", json=asked, headers=once))["id"])


def _look(rig: Rig, batch_id: str) -> dict[str, Any]:
    return _surely(rig, lambda http: http.get(f"/v1/batches/{batch_id}"))


def _status(rig: Rig, batch_id: str) -> str:
    return str(_look(rig, batch_id)["status"])


def _check(rig: Rig, tally: Tally, batch_id: str, number: int, *, cancelled: bool) -> None:
    found, job_id = _look(rig, batch_id), batch_id.removeprefix("batch_")
    output, refused = _lines(rig, found["output_file_id"]), _lines(rig, found["error_file_id"])
    names = [line["custom_id"] for line in output + refused]
    tally.jobs += 1 + number
    tally.lost += number - len(set(names))
    tally.doubled += len(names) - len(set(names))
    tally.failed += found["status"] != ("cancelled" if cancelled else "completed")
    tally.failed += 0 if cancelled else len(refused)
    said = {line["custom_id"]: line["response"]["body"]["choices"][0]["message"]["content"] for line in output}
    tally.differing += sum(f"word{name}" not in text for name, text in said.items())
    codes = {line["error"] and line["error"]["code"] for line in refused}
    tally.promise(codes <= {"batch_cancelled"}, f"lines were refused with {codes}")
    counts = {"total": number, "completed": len(output), "failed": len(refused)}
    tally.promise(found["request_counts"] == counts, f"counted {found['request_counts']} of {counts}")
    children = "SELECT count(*), count(DISTINCT place) FROM jobs WHERE parent_id = %s"
    tally.unexpected += rig.rows(children, job_id)[0][0] - rig.rows(children, job_id)[0][1]
    entered = "(SELECT count(*) FROM ledger l WHERE l.job_id = j.id)"
    unpaid = f"SELECT count(*) FROM jobs j WHERE parent_id = %s AND {entered} <> 1"
    tally.usage += int(rig.rows(unpaid, job_id)[0][0])
    files = int(rig.rows("SELECT count(*) FROM files WHERE filename LIKE %s", f"{batch_id}%")[0][0])
    tally.promise(files == bool(output) + bool(refused), f"{files} files were made")


def _lines(rig: Rig, file_id: str | None) -> list[dict[str, Any]]:
    """Of a file of the batch's; none where there is no file."""
    if file_id is None:
        return []
    with fresh_connections(rig.url, rig.key) as http:
        answer = http.get(f"/v1/files/{file_id}/content", timeout=120).raise_for_status()
    return [json.loads(line) for line in answer.text.splitlines()]
