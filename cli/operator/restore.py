"""`forebay restore`: a data folder made anew from what `forebay backup` kept."""

import os
import shutil
from pathlib import Path

import click
from sqlalchemy import text

from cli.launcher import datafolder, leftovers, standalone
from cli.launcher.datafolder import DataFolder
from cli.operator import kept
from cli.operator.backup import refuse_own_servers, run
from db import prerequisites, revisions
from db import session as db_session


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@datafolder.option("The data folder to make: a new one, or an empty one.")
def restore(folder: Path, data: Path) -> None:
    """Make a data folder of what `forebay backup` kept in DIR; says how to start it.

    It is there whole or not at all. What happened after the backup isn't in it: jobs that hadn't ended then run again.
    """
    refuse_own_servers()
    manifest = kept.read(folder)
    if manifest.revision not in revisions.known():
        raise click.ClickException(
            f"{folder} was made by a newer version, forebay {manifest.forebay} with tables {manifest.revision}"
        )
    root = data.resolve()
    _refuse_used(root)
    kept.verify(folder, manifest)
    root.parent.mkdir(parents=True, exist_ok=True)
    with datafolder.claim(root.with_name(f"{root.name}.restoring")) as made:
        _empty(made)
        _fill(made, folder)
        try:
            made.root.rename(root)
            kept.sync(root.parent)
        except OSError as error:
            raise click.ClickException(f"{root}: {error.strerror}") from error
    click.echo(f"{root} is as of {manifest.as_of}; `forebay up --data {data}` starts it")


def _refuse_used(root: Path) -> None:
    """Raises `ClickException` where a launcher uses the folder, something is in it, or it can't be replaced."""
    if os.path.ismount(root):
        raise click.ClickException(f"{root} is where something is mounted, and can't be replaced: name a folder in it")
    if not root.exists() or not any(root.iterdir()):
        return
    if (root / "lock").exists():
        with datafolder.claim(root):
            pass
    raise click.ClickException(
        f"{root} has data already, and nothing is restored over data: give another --data, or move it away first"
    )


def _empty(made: DataFolder) -> None:
    """Removes what a restore that was killed has left, once its PostgreSQL has ended."""
    leftovers.end(made.record)
    for path in made.root.iterdir():
        if path.is_dir() and path != made.logs:
            shutil.rmtree(path)
    made.secrets.unlink(missing_ok=True)


def _fill(made: DataFolder, folder: Path) -> None:
    with standalone.started(made) as url:
        _load(url, folder / kept.DATABASE)
    _copy(folder / kept.SECRETS, made.secrets)
    if (folder / kept.CATALOG).exists():
        made.restored.parent.mkdir(mode=0o700)
        _copy(folder / kept.CATALOG, made.restored)
        if (folder / kept.MODELS).exists():
            shutil.copytree(folder / kept.MODELS, made.restored.with_name(kept.MODELS), copy_function=_copy)
    for written in (*made.restored.parent.rglob("*/"), made.restored.parent, made.root):
        if written.is_dir():
            kept.sync(written)


def _copy(source: Path | str, target: Path | str) -> None:
    """Copies a file for nobody else to read, and waits until it is on the disk."""
    shutil.copyfile(source, target)
    Path(target).chmod(0o600)
    kept.sync(Path(target))


def _load(url: str, dump: Path) -> None:
    engine = db_session.open_engine(url, pool_size=1, statement_timeout_s=600)
    try:
        with engine.begin() as connection:
            prerequisites.make(connection, prerequisites.TO_RUN)  # the roles that a dump names
        run("pg_restore", "--exit-on-error", f"--dbname={url}", str(dump))
        with engine.begin() as connection:
            connection.execute(text("ANALYZE"))
    finally:
        engine.dispose()
