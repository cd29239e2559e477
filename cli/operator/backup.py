"""`forebay backup`: what a data folder's `forebay up` knows, in a folder that `forebay restore` takes."""

import datetime as dt
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from cli.launcher import (
    cluster,
    credentials,
    datafolder,
    embedded,
    given,
    lineup,
    modelfiles,
    standalone,
    trial,
    up,
)
from cli.launcher.credentials import Credentials
from cli.launcher.datafolder import DataFolder
from cli.launcher.given import Given
from cli.operator import database, kept
from db import revisions
from tasks import errors, keys
from tasks.models import catalog, parts
from tasks.models.catalog import Catalog, Model


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
    if folder.resolve().is_relative_to(own.root):
        raise click.ClickException(f"{folder} is in the data folder itself: what befalls one would befall both")
    with standalone.reached(own.root) as url:
        given_to_up = given.read(own.given)
        secrets, models = _secrets(own, given_to_up, url), _models(own, given_to_up)
        kept.begin(folder)
        credentials.write(folder / kept.SECRETS, secrets)
        with same_tables(url) as revision:
            as_of = dt.datetime.now(dt.UTC)
            _dump(url, folder / kept.DATABASE)
    if models:
        _keep(models, folder, without_models)
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


@contextmanager
def same_tables(url: str) -> Iterator[str]:
    """The revision of the tables. Raises `ClickException` when there are none, or it is another at the block's end."""
    before = _revision(url)
    if before is None:
        raise click.ClickException("the database has no tables yet: there is nothing to back up")
    yield before
    if (after := _revision(url)) != before:
        raise click.ClickException(f"the tables became {after} meanwhile, and were {before}: make the backup again")


def _revision(url: str) -> str | None:
    with database.opened(url) as session:
        return revisions.read(session).revision


def _dump(url: str, path: Path) -> None:
    path.touch(0o600)
    run("pg_dump", "--format=custom", f"--dbname={url}", output=path)


def _secrets(own: DataFolder, given_to_up: Given | None, url: str) -> Credentials:
    """What `up` runs with: the folder's, unless its environment said otherwise.

    Raises `ClickException` when they aren't known here, or don't open this database.
    """
    try:
        known = credentials.read(own.secrets)
    except FileNotFoundError as error:
        raise click.ClickException(f"{own.secrets} is missing: without it no key opens the database") from error
    pepper, webhook_key = known.pepper, known.webhook_key
    if given_to_up:
        of_up = {name: given.secret(given_to_up, name, os.environ, known.pepper) for name in given.SECRETS}
        pepper = of_up["FOREBAY_KEY_PEPPER"] or pepper
        webhook_key = of_up["FOREBAY_WEBHOOK_KEY"] or webhook_key
    with database.opened(url) as session:
        fits = not known.key or keys.is_of(session, pepper=pepper, key=known.key)
    if not fits:
        raise click.ClickException(f"the local key of {own.secrets} isn't of this database: start `up` once")
    return replace(known, pepper=pepper, webhook_key=webhook_key)


def _models(own: DataFolder, given_to_up: Given | None) -> Catalog:
    """The catalogue that is served from; an empty one for that which comes with the code."""
    last = own.catalog if own.catalog.exists() else own.served_by_default
    path = Path(given_to_up.catalog) if given_to_up else last
    if path == lineup.CATALOG:
        return {}
    try:
        return catalog.load(path)
    except errors.CatalogError as error:
        raise click.ClickException(str(error)) from error


def _keep(models: Catalog, folder: Path, without_models: bool) -> None:
    """Writes the catalogue and, unless they stay where they are, copies the files that it names."""
    copied = {} if without_models else _copied(models.values(), folder / kept.MODELS)
    modelfiles.write(folder / kept.CATALOG, {name: _entry(model, copied) for name, model in models.items()})


def _copied(models: Iterable[Model], folder: Path) -> dict[Path, str]:
    """Copies each file once, into a folder of its own with all its parts.

    Returns where it is then, from the backup's folder on. One of which something is missing is told and left out.
    """
    files = dict.fromkeys(path for model in models for path in (model.file, model.template) if path)
    folder.mkdir(mode=0o700)
    found: dict[Path, str] = {}
    for file in files:
        if missing := [part for part in parts.of(file) if not part.is_file()]:
            up.say(f"{missing[0]} isn't there; the path of {file} is kept")
            continue
        found[file] = f"{kept.MODELS}/{len(found) + 1}/{file.name}"
        own = folder / str(len(found))
        own.mkdir(mode=0o700)
        for part in parts.of(file):
            shutil.copyfile(part, own / part.name)
    return found


def _entry(model: Model, copied: dict[Path, str]) -> dict[str, Any]:
    entry = modelfiles.entry_of(model)
    return {**entry, **{key: copied.get(Path(entry[key]), entry[key]) for key in ("file", "template") if key in entry}}
