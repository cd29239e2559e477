"""What an `up` was given by its environment, and its ports, noted in its data folder for who asks in another shell."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from cli.launcher import ports

SECRETS = ("FOREBAY_KEY_PEPPER", "FOREBAY_WEBHOOK_KEY")


@dataclass(frozen=True, slots=True)
class Given:
    """`catalog` is the path of what is served from. `marks` are of the secrets that the environment set, by the names
    of their settings: by a mark a secret is known again, and can't be had from it. `flower_port` is 0 without Flower.
    """

    catalog: str
    marks: Mapping[str, str]
    port: int = ports.API
    flower_port: int = ports.FLOWER


def write(path: Path, env: Mapping[str, str], salt: str, port: int, flower_port: int) -> None:
    """Notes what the environment of an `up` says, and its ports. Replaces the file whole or not at all."""
    marks = {name: _mark(env[name], salt) for name in SECRETS if name in env}
    given = Given(env["FOREBAY_CATALOG"], marks, port, flower_port)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(asdict(given)))
    new.replace(path)


def read(path: Path) -> Given | None:
    """What the `up` that runs was given, or the last that did; None where there was none."""
    try:
        return Given(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None


def secret(given: Given, name: str, env: Mapping[str, str], salt: str) -> str | None:
    """The secret of this setting that `up` was given; None where it took the data folder's.

    Raises `ClickException` when this environment doesn't have it.
    """
    if name not in given.marks:
        return None
    if not hmac.compare_digest(_mark(env.get(name, ""), salt), given.marks[name]):
        raise click.ClickException(f"`up` runs with a {name} of its environment: set it here as for `up`")
    return env[name]


def _mark(secret: str, salt: str) -> str:
    return hmac.new(salt.encode(), secret.encode(), hashlib.sha256).hexdigest()
