"""What each kind of process would say of this environment, and whether the API and Flower answer."""

import json
import subprocess
import sys
from collections.abc import Iterator

import httpx

from cli.launcher import lineup
from cli.operator.doctor.finding import Finding, Installation, ok, warning, wrong

_LIMIT_S = 20.0
# A process of its own, which reads them just as theirs do. It says of each what is wrong.
_READ = """
import json
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
    "the API": lambda: (api.read(), api.read_serving()),
}
print(json.dumps({name: told(read) for name, read in readers.items()}))
"""
_BEGINS = "settings: Environment variables invalid: "
_NAMED = "the API", "the control worker"  # each knows a secret that not every machine has


def settings(_: Installation) -> Iterator[Finding]:
    """Every process reads its settings as it would at a start."""
    argv = [sys.executable, "-c", _READ]
    done = subprocess.run(argv, cwd=lineup.ROOT, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    if done.returncode:
        yield wrong("settings", done.stderr.strip().splitlines()[-1], "the installation of the program is damaged")
        return
    told: dict[str, str | None] = json.loads(done.stdout)
    for name, mistake in told.items():
        if mistake:
            say = warning if name in _NAMED and "not set" in mistake else wrong
            yield say(
                "settings",
                f"{name} would not start: {mistake.removeprefix(_BEGINS)}",
                "docs/settings.md says what each is for",
            )
    if not any(told.values()):
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
        said = ", ".join(f"{name}: {parts[name]}" for name in ("postgres", "redis"))
        yield wrong("API", f"{installation.api} accepts no jobs ({said})", "see what is wrong with these below")


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
