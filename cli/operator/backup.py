"""`forebay backup`: what a data folder's `forebay up` knows, in a folder that `forebay restore` takes."""

import datetime as dt
import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import psutil

from cli.launcher import (
    cluster,
    credentials,
    datafolder,
    embedded,
    leftovers,
    lineup,
    modelfiles,
    standalone,
    trial,
    up,
)
from cli.launcher.credentials import Credentials
from cli.launcher.datafolder import DataFolder
from cli.operator import database, kept
from db import revisions
from tasks import errors, keys
from tasks.models import catalog
from tasks.models.catalog import Model


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@datafolder.option("The data folder of the `forebay up` that is backed up.")
@click.option("--without-models", is_flag=True, help="Leave the models' files where they are, and keep their paths.")
def backup(folder: Path, data: Path, without_models: bool) -> None:
    """Keep in DIR, a new folder, all that is needed to have this installation again somewhere else.

    Whether `forebay up` runs or not: the database as it is at one moment, the secrets, and where `up --model` was used
    or FOREBAY_CATALOG is set, the catalogue with its models' files. DIR holds secrets: keep it like one.
    """
    refuse_own_servers()
    own = DataFolder(data.resolve())
    if not (own.root / embedded.POSTGRES).is_dir():
        raise click.ClickException(f"{data} is no data folder of a `forebay up` with a PostgreSQL of its own")
    kept.begin(folder)
    with standalone.reached(own.root) as url:
        revision = _revision(url)
        credentials.write(folder / kept.SECRETS, _secrets(own, url))
        as_of = dt.datetime.now(dt.UTC)
        _dump(url, folder / kept.DATABASE)
    if path := _catalog(own):
        _keep_models(path, folder, without_models)
    manifest = kept.end(folder, revision, as_of)
    click.echo(f"{folder}: {len(manifest.files)} files, {trial.size(manifest.bytes)}, tables {revision}")


def refuse_own_servers() -> None:
    """Raises `ClickException` where the environment says that the database isn't the data folder's."""
    if "FOREBAY_DATABASE_URL" in os.environ:
        raise click.ClickException(
            "FOREBAY_DATABASE_URL is set: a server of your own is backed up by pg_dump, as docs/operating.md says"
        )


def run(program: str, *options: str, output: Path | None = None) -> None:
    """Runs one of PostgreSQL's programs. Raises `ClickException` with what it said when it fails."""
    argv = [str(cluster.programs() / program), *options]
    with open(output or os.devnull, "wb") as file:
        done = subprocess.run(
            argv,
            env=embedded.ENV,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    if done.returncode:
        last = "\n".join(f"  {line}" for line in done.stderr.splitlines()[-up.LOG_TAIL_LINES :])
        raise click.ClickException(f"{program} ended with status {done.returncode}:\n{last}")


def _revision(url: str) -> str:
    with database.opened(url) as session:
        found = revisions.read(session).revision
    if found is None:
        raise click.ClickException("the database has no tables yet: there is nothing to back up")
    return found


def _dump(url: str, path: Path) -> None:
    path.touch(0o600)
    run("pg_dump", "--format=custom", f"--dbname={url}", output=path)


def _secrets(own: DataFolder, url: str) -> Credentials:
    """What `up` runs with: the folder's, unless the environment says otherwise.

    Raises `ClickException` when they don't open this database.
    """
    try:
        known = credentials.read(own.secrets)
    except FileNotFoundError as error:
        raise click.ClickException(f"{own.secrets} is missing: without it no key opens the database") from error
    pepper = os.environ.get("FOREBAY_KEY_PEPPER", known.pepper)
    webhook_key = os.environ.get("FOREBAY_WEBHOOK_KEY", known.webhook_key)
    with database.opened(url) as session:
        fits = not known.key or keys.is_of(session, pepper=pepper, key=known.key)
    if not fits:
        raise click.ClickException(
            f"the pepper of {own.secrets} isn't the one that `up` runs with: "
            "set FOREBAY_KEY_PEPPER and FOREBAY_WEBHOOK_KEY as for `up`"
        )
    return replace(known, pepper=pepper, webhook_key=webhook_key)


def _catalog(own: DataFolder) -> Path | None:
    """The catalogue that is served from; None for the one that comes with the code."""
    running = leftovers.running(own.record).get(lineup.CONTROL)
    env = psutil.Process(running).environ() if running else os.environ
    last = own.catalog if own.catalog.exists() else own.served_by_default
    path = Path(env.get("FOREBAY_CATALOG", last))
    return None if path == lineup.CATALOG else path


def _keep_models(path: Path, folder: Path, without_models: bool) -> None:
    """Copies the catalogue and, unless they stay where they are, the files that it names."""
    try:
        models = catalog.load(path)
    except errors.CatalogError as error:
        raise click.ClickException(str(error)) from error
    copied = {} if without_models else _copied(models.values(), folder / kept.MODELS)
    found = {name: _entry(model, copied) for name, model in models.items()}
    modelfiles.write(folder / kept.CATALOG, found)


def _copied(models: Iterable[Model], folder: Path) -> dict[Path, str]:
    """Copies each file once; where it is kept, from the backup's folder on. What is missing is told and left out."""
    files = dict.fromkeys(path for model in models for path in (model.file, model.template) if path)
    folder.mkdir(mode=0o700)
    found: dict[Path, str] = {}
    for number, path in enumerate(files):
        if not path.is_file():
            up.say(f"{path} isn't there; its path is kept")
            continue
        name = path.name if not (folder / path.name).exists() else f"{number}-{path.name}"
        shutil.copyfile(path, folder / name)
        found[path] = f"{kept.MODELS}/{name}"
    return found


def _entry(model: Model, copied: dict[Path, str]) -> dict[str, Any]:
    entry = modelfiles.entry_of(model)
    return {**entry, **{key: copied.get(Path(entry[key]), entry[key]) for key in ("file", "template") if key in entry}}
