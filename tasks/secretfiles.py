"""Secrets that are given as files: `FOREBAY_KEY_PEPPER_FILE=/run/secrets/key_pepper` in place of the text itself.

What inspects a container, or a unit, shows its environment to more people than may know a secret.
"""

import os
import re
from pathlib import Path
from urllib.parse import quote, urlsplit

from tasks import errors

PASSWORD = "FOREBAY_DATABASE_PASSWORD"  # noqa: S105 - a name
_DATABASES = ("FOREBAY_DATABASE_URL", "FOREBAY_DATABASE_DIRECT_URL")
NAMES = (
    *_DATABASES,
    PASSWORD,
    "FOREBAY_REDIS_URL",
    "FOREBAY_BROKER_URL",
    "FOREBAY_KEY_PEPPER",
    "FOREBAY_WEBHOOK_KEY",
    "FOREBAY_KEY",
    "FLOWER_BASIC_AUTH",
)


def read() -> list[str]:
    """Has the environment hold what the files say, and the database's URL its password; what is wrong, a line each.

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
    urls = {name: urlsplit(os.environ[name]) for name in _DATABASES if os.environ.get(name)}
    odd = [name for name, url in urls.items() if not re.match("[^:@]+@", url.netloc)]
    if odd or not urls:
        return f"{PASSWORD}: {' and '.join(odd or _DATABASES[:1])} must name a user, and no password of its own"
    password = quote(os.environ.pop(PASSWORD), safe="")
    for name, url in urls.items():
        os.environ[name] = url._replace(netloc=url.netloc.replace("@", f":{password}@", 1)).geturl()
    return None
