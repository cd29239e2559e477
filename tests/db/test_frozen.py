"""Migrations that were merged stay as they are: databases have run them, and never will again."""

import hashlib
from pathlib import Path

from db import revisions

LIST = Path(__file__).parent / "frozen.sha256"
VERSIONS = revisions.MIGRATIONS / "versions"


def frozen() -> dict[str, str]:
    """The checksums by the files' names, as `sha256sum` writes them."""
    lines = (line.split() for line in LIST.read_text().splitlines())
    return {name: checksum for checksum, name in lines}


def test_merged_migrations_are_as_they_were() -> None:
    """What they got wrong, a new one mends."""
    for name, checksum in frozen().items():
        file = VERSIONS / name
        assert file.exists(), (
            f"{name} was merged, and databases stand at it: put it back, and undo in a new migration what it does"
        )
        assert hashlib.sha256(file.read_bytes()).hexdigest() == checksum, (
            f"{name} was merged and is frozen: databases that have run it won't run it again. Put it back as it was"
            f" (git checkout main -- {file.relative_to(Path.cwd())}), and write a new migration for what it should do."
            " Only while it is on no other branch than yours may its line in tests/db/frozen.sha256 be made anew."
        )


def test_new_migrations_are_in_the_list() -> None:
    """One command does it."""
    for file in sorted(VERSIONS.glob("[0-9]*.py")):
        assert file.name in frozen(), (
            f"{file.name} is new. Freeze it when it is done: "
            f"(cd db/migrations/versions && sha256sum {file.name}) >> tests/db/frozen.sha256\n"
            "And if older code can't work with what it makes of the tables, raise COMPATIBLE_FROM in db/revisions.py."
        )
