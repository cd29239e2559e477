"""Secrets that are given as files: `FOREBAY_KEY_PEPPER_FILE=/run/secrets/key_pepper` in place of the text itself.

What inspects a container, or a unit, shows its environment to more people than may know a secret.
"""

import os
from pathlib import Path
from urllib.parse import quote, urlsplit

from tasks import errors

PASSWORD = "FOREBAY_DATABASE_PASSWORD"  # noqa: S105 - a name
_DATABASE, _DIRECT = "FOREBAY_DATABASE_URL", "FOREBAY_DATABASE_DIRECT_URL"
NAMES = (
    _DATABASE,
    _DIRECT,
    PASSWORD,
    "FOREBAY_REDIS_URL",
    "FOREBAY_BROKER_URL",
    "FOREBAY_KEY_PEPPER",
    "FOREBAY_WEBHOOK_KEY",
    "FOREBAY_KEY",
    "FOREBAY_FILES_SECRET",
    "FLOWER_BASIC_AUTH",
)


def read() -> list[str]:
    """Has the environment hold what the files say, and the database's URLs their password; what is wrong, a line each.

    What was read is no longer named there, so that a second call finds nothing to do, and a child needs no file.
    """
    mistakes = [mistake for name in NAMES if (mistake := _read(name))]
    if os.environ.get(PASSWORD) and (mistake := _join()):
        mistakes.append(mistake)
    return mistakes


def require() -> None:
    """Reads them. Raises one `SettingsError` for all that is wrong."""
    if mistakes := read():
        raise errors.SettingsError(f"settings: {'; '.join(mistakes)}")


def _read(name: str) -> str | None:
    variable = f"{name}_FILE"
    file = os.environ.get(variable)
    if not file:
        return None
    if os.environ.get(name):
        return f"{name} and {variable} are both set: one of them is enough"
    try:
        text = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        return f"{variable}: {error}"
    if not text or "\0" in text:
        return f"{variable}: {file} holds no text"
    os.environ[name] = text
    del os.environ[variable]
    return None


def _join() -> str | None:
    urls = {}
    for name in (_DATABASE, _DIRECT) if os.environ.get(_DIRECT) else (_DATABASE,):
        url = urlsplit(os.environ.get(name, ""))
        user, at, host = url.netloc.rpartition("@")
        if not at or ":" in user:
            return f"{PASSWORD}: {name} must name a user, and no password of its own"
        urls[name] = url._replace(netloc=f"{user}:{quote(os.environ[PASSWORD], safe='')}@{host}").geturl()
    os.environ.update(urls)
    del os.environ[PASSWORD]
    return None
