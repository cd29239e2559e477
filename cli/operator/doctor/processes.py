"""What each kind of process would say of this environment, and whether the API and Flower answer."""

import json
from collections.abc import Iterator

import httpx

from cli.operator.doctor import children
from cli.operator.doctor.finding import Finding, Installation, ok, warning, wrong

# A process of its own reads them just as theirs do. Which secrets are missing, and beside these what is wrong for each.
_READ = """
import json, os
from tasks import errors
from webapi import settings as api
from workers import settings as worker
def told(read):
    try:
        read()
    except errors.SettingsError as error:
        return str(error)
readers = {
    "a worker": worker.read,
    "the control worker": lambda: worker.read(control=True),
    "the API": api.read,
    "gunicorn": api.read_serving,
}
secrets = ["FOREBAY_KEY_PEPPER", "FOREBAY_WEBHOOK_KEY"]
missing = [name for name in secrets if not os.environ.get(name) and not os.environ.get(name + "_FILE")]
os.environ.update({name: "in place of one that is missing" for name in missing})
print(json.dumps([missing, {name: told(read) for name, read in readers.items()}]))
"""
_BEGINS = "settings: "
_PARTS = "postgres", "schema", "redis"  # what its readiness depends on
_INVALID = "Environment variables invalid: "


def settings(_: Installation) -> Iterator[Finding]:
    """Every process reads its settings as it would at a start."""
    try:
        missing, told = json.loads(children.answer(_READ))
    except children.Failed as error:
        yield wrong("settings", str(error), "the installation of the program is damaged")
        return
    mistakes = {name: mistake for name, mistake in told.items() if mistake}
    for name, mistake in mistakes.items():
        seen = f"{name} would not start: {mistake.removeprefix(_BEGINS).removeprefix(_INVALID)}"
        yield wrong("settings", seen, "docs/settings.md says what each is for")
    if missing:
        seen = f"without {' and '.join(missing)}, which not every machine has"
        yield warning("settings", seen, "the API needs both, the control worker the latter: set what runs here")
    elif not mistakes:
        yield ok("settings", f"read as by {', '.join(told)}")


def api(installation: Installation) -> Iterator[Finding]:
    """The API answers, and would accept a job."""
    try:
        answer = httpx.get(f"{installation.api}/readyz", timeout=5)
        parts = answer.json()["parts"]
    except httpx.TransportError as error:
        yield wrong("API", f"{installation.api} doesn't answer: {error}", "start it, or name it by FOREBAY_URL")
        return
    except (ValueError, LookupError, TypeError):
        yield wrong("API", f"what answers at {installation.api} is no API of ours", "name it by FOREBAY_URL")
        return
    if answer.status_code == 200:
        yield ok("API", f"{installation.api} accepts jobs")
    else:
        said = ", ".join(f"{name}: {parts[name]}" for name in _PARTS if parts.get(name))
        yield wrong("API", f"{installation.api} accepts no jobs ({said})", "see what is wrong with these above")


def flower(installation: Installation) -> Iterator[Finding]:
    """Flower answers, where this installation has one, and to nobody without its password."""
    if installation.flower is None:
        return
    try:
        answer = httpx.get(f"{installation.flower}/healthcheck", timeout=5)
    except httpx.HTTPError as error:
        yield warning("Flower", f"{installation.flower} doesn't answer: {error}", "look at its log; nothing needs it")
        return
    if answer.status_code == 401:
        yield ok("Flower", f"{installation.flower} answers")
    else:
        said = f"{installation.flower} answers {answer.status_code} to who has no password"
        yield warning("Flower", said, "something else is there, or a Flower that anyone can read")
