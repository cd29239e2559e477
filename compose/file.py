"""compose.yaml as Docker Compose reads it: anchors merged, variables put in, settings that nobody gave left out."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).with_name("compose.yaml")
EXAMPLE = Path(__file__).with_name(".env.example")
# ${NAME}, ${NAME:-taken where it is empty or unset}, ${NAME:+taken where it isn't}
_VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::([-+])([^}]*))?\}")


def services(given: Mapping[str, str]) -> dict[str, Any]:
    """The services, whatever their profile, with these variables as of a file of settings."""
    found = top("services", given)
    for service in found.values():
        environment = service.get("environment", {})
        passed = {name: given.get(name) if value is None else str(value) for name, value in environment.items()}
        service["environment"] = {name: value for name, value in passed.items() if value is not None}
    return found


def top(key: str, given: Mapping[str, str]) -> dict[str, Any]:
    """What the file has under that key, with its variables put in."""
    return dict(_put_in(yaml.safe_load(FILE.read_text(encoding="utf-8"))[key], given))


def _put_in(what: Any, given: Mapping[str, str]) -> Any:
    def value(variable: re.Match[str]) -> str:
        name, sign, word = variable.groups()
        known = given.get(name, "")
        return (word if known else "") if sign == "+" else known or word or ""

    match what:
        case str():
            return _VARIABLE.sub(value, what)
        case list():
            return [_put_in(part, given) for part in what]
        case dict():
            return {name: _put_in(part, given) for name, part in what.items()}
    return what


def example() -> dict[str, str]:
    """What .env.example sets."""
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
