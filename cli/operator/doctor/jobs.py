"""Jobs, and who works on them."""

import socket
from collections.abc import Iterator

import psutil

from cli.operator.doctor.finding import Finding, Installation, ok, warning, wrong
from db import diagnosis
from tasks.models import catalog
from tasks.models.registry import Models
from tasks.queues import capacity

_COUNT_TO = 10_000
_LONG_S = 300.0
_SWEPT_S = 60.0
_OURS = ("internal", "engine_error", "poison")  # ends that are no client's fault


def workers(installation: Installation) -> Iterator[Finding]:
    """Every model has a worker, and none has fallen silent."""
    lease_s = installation.settings.lease_s
    with installation.sessions.begin() as session:
        strengths = capacity.strengths(session, lease_s)
        silent = [name for name in diagnosis.silent_workers(session, lease_s) if not _has_ended(name)]
    for name in (*Models(installation.settings.catalog).served(), catalog.CONTROL):
        if name in strengths:
            there = strengths[name]
            yield ok("workers", f"{name}: {there.workers}, with {there.free} of {there.slots} slots free")
        else:
            yield wrong("workers", f"{name} has none, its jobs wait", "start one; if it doesn't stay, read its log")
    if silent:
        advice = "end what is left of them; their jobs have gone elsewhere"
        yield warning("workers", f"silent for longer than a lease: {', '.join(silent)}", advice)


def _has_ended(worker_id: str) -> bool:
    """Of this machine's workers it can be seen; a row stays for a while after its process."""
    host, _, process = worker_id.rpartition("@")[2].partition(":")
    pid = process.partition(".")[0]
    return host == socket.gethostname() and pid.isdigit() and not psutil.pid_exists(int(pid))


def waiting(installation: Installation) -> Iterator[Finding]:
    """No job waits for long, and none for a model that nobody serves."""
    served = [*Models(installation.settings.catalog).served(), catalog.CONTROL]
    with installation.sessions.begin() as session:
        queues = diagnosis.waiting(session, _COUNT_TO)
        unserved = capacity.unserved(session, served, _COUNT_TO)
    for name, number in unserved.items():
        advice = f"put it back into the catalogue, or `forebay jobs end --model {name}`"
        yield warning("jobs", f"{number} wait for {name}, which isn't served", advice)
    for queue in queues:
        if queue.name in unserved:
            continue
        all_seen = queue.jobs < _COUNT_TO
        at_least, oldest = ("", "the oldest") if all_seen else (" or more", "one of them")
        seen = f"{queue.jobs}{at_least} wait in {queue.name}, {oldest} for {queue.oldest_s:.0f} s"
        if queue.oldest_s > _LONG_S:
            advice = "see that its workers get on, or start another; `batch` jobs wait for `interactive` ones"
            yield warning("jobs", seen, advice)
        else:
            yield ok("jobs", seen)
    if not queues and not unserved:
        yield ok("jobs", "none waits")


def failing(installation: Installation) -> Iterator[Finding]:
    """What failed within the last hour, by its code."""
    with installation.sessions.begin() as session:
        ended, failed = diagnosis.ended_lately(session)
    told = ", ".join(f"{number} with {code}" for code, number in failed.items())
    if any(code in failed for code in _OURS):
        advice = "the workers' logs have the reason, by the job's id: `forebay jobs --status failed`"
        yield warning("jobs", f"{ended} ended within the hour; failed: {told}", advice)
    else:
        yield ok("jobs", f"{ended} ended within the hour" + (f"; failed: {told}" if told else ""))


def sweep(installation: Installation) -> Iterator[Finding]:
    """Somebody looks for what should be moving and isn't."""
    with installation.sessions.begin() as session:
        age_s = diagnosis.sweep_age_s(session)
    if age_s is None or age_s > _SWEPT_S:
        seen = "there has never been a round" if age_s is None else f"the last round began {age_s:.0f} s ago"
        yield wrong("sweep", seen, "start a worker: any of them sweeps, if it reaches PostgreSQL")
    else:
        yield ok("sweep", f"the last round began {max(0.0, age_s):.0f} s ago")


def webhooks(installation: Installation) -> Iterator[Finding]:
    """Receivers take what they are sent."""
    with installation.sessions.begin() as session:
        found = diagnosis.webhooks(session)
    if found.late or found.failed:
        seen = f"{found.late} wait for another try, {found.failed} were given up within a day"
        yield warning("webhooks", seen, "GET /v1/deliveries has each receiver's last answer")
    else:
        yield ok("webhooks", f"{found.pending} wait to be sent, none has failed within a day")
