"""Builds a model file in: `python -m models.built_in FILE SLOTS [NAME]` copies it beside the catalogue, and enters it
there before the others, as the default for its types.

It is tried first: what no engine runs is refused here, and not by a worker when it starts.
"""

import shutil
import sys
from pathlib import Path

import click

from cli.launcher import entries, trial
from tasks.models import catalog

CATALOG = Path(__file__).with_name("catalog.toml")
FILE = "built-in.gguf"
LONGEST_CONTEXT = 4096


def build_in(file: Path, slots: int, name: str, into: Path = CATALOG) -> None:
    """Enters the file in the catalogue. Raises `ClickException` for one that can't be read or run, or a name that is
    taken; then nothing is changed."""
    known = catalog.load(into)
    name = name or entries.name_of(file, known)
    if name in known:
        raise click.ClickException(f"{into} has a model {name} already")
    header = trial.header(file)
    if "error" in header:
        raise click.ClickException(trial.plain(header["error"]))
    context = min(header["context"] or LONGEST_CONTEXT, LONGEST_CONTEXT)
    entry = {
        "engine": _engine(file, context, slots),
        "file": FILE,
        "context": context,
        "slots": slots,
        "types": entries.types(header),
        "default": True,
    }
    shutil.copyfile(file, into.with_name(FILE))
    into.write_text(f"{entries.table(name, entry)}\n\n{into.read_text(encoding='utf-8')}", encoding="utf-8")
    catalog.load(into)


def _engine(file: Path, context: int, slots: int) -> str:
    reasons = []
    for engine in trial.ENGINES:
        answer = trial.run(engine, file, context, slots)
        if "error" not in answer:
            return engine
        reasons.append(f"{engine}: {trial.plain(answer['error'])}")
    raise click.ClickException(f"no engine runs {file.name}: {'; '.join(reasons)}")


if __name__ == "__main__":
    try:
        build_in(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "")
    except click.ClickException as error:
        sys.exit(error.message)
