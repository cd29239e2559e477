"""Model files that `forebay up` is given: which engine runs each, with how much context, and the catalogue of them."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click
import psutil

from cli.launcher import entries, fitting, trial
from cli.launcher.fitting import Fit
from tasks.models import catalog
from tasks.models.catalog import Model

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file that was given, the name its model is served under, and what its header says."""

    path: Path
    name: str
    header: trial.Answer

    @property
    def least_bytes(self) -> int:
        """What to leave for it, whichever engine it will need."""
        return max(fitting.smallest(engine, self.header) for engine in trial.ENGINES)


def serve(files: Sequence[Path], beside: Mapping[str, Mapping[str, Any]], say: Say) -> dict[str, Mapping[str, Any]]:
    """The entries of a catalogue: of the files, each the default for its types, then those beside.

    Raises `ClickException` for a file that can't be read, that no engine runs, or that doesn't fit.
    """
    given = read(files, beside)
    free_bytes = psutil.virtual_memory().available
    room_bytes = free_bytes - fitting.RESERVE_BYTES - sum(weights(entry) for entry in beside.values())
    found: dict[str, Mapping[str, Any]] = {}
    for place, file in enumerate(given):
        later = given[place + 1 :]
        share_bytes = room_bytes - sum(other.least_bytes for other in later)
        if later:  # what is over its own least is shared with those that follow
            share_bytes = file.least_bytes + max(0, share_bytes - file.least_bytes) // (len(later) + 1)
        engine, fit = choose(file, share_bytes, say)
        say(told(file, engine, fit, free_bytes))
        room_bytes -= fit.memory_bytes
        found[file.name] = {
            "engine": engine,
            "file": str(file.path),
            "context": fit.context,
            "slots": fit.slots,
            "types": entries.types(file.header),
            "default": True,
        }
    return {**found, **beside}


def read(files: Sequence[Path], beside: Mapping[str, Any]) -> list[ModelFile]:
    """The files, each once, with names that nobody else has."""
    found: list[ModelFile] = []
    for path in dict.fromkeys(entries.placed(file) for file in files):
        header = trial.header(path)
        if "error" in header:
            raise click.ClickException(trial.plain(header["error"]))
        taken = {catalog.CONTROL, *beside, *(other.name for other in found)}
        found.append(ModelFile(path, entries.name_of(path, taken), header))
    return found


def choose(file: ModelFile, room_bytes: int, say: Say) -> tuple[str, Fit]:
    """The first engine that runs the file, and what fits on it. Raises `ClickException` with each one's reason."""
    reasons = []
    for engine in trial.ENGINES:
        fit = fitting.best(engine, file.header, room_bytes)
        if fit is None:
            least = trial.size(fitting.smallest(engine, file.header))
            reasons.append(f"{engine}: it takes {least} or more, and {trial.size(max(0, room_bytes))} are free for it")
            continue
        say(f"loading {trial.plain(file.path.name)} with {engine}, to see whether it runs; a large one takes a while")
        answer = trial.run(engine, file.path, fit.context, fit.slots)
        if "error" not in answer:
            return engine, fit
        reasons.append(f"{engine}: {trial.plain(answer['error'])}")
    lines = "\n".join(f"  {reason}" for reason in reasons)
    raise click.ClickException(f"{trial.plain(str(file.path))}: no engine runs this file\n{lines}")


def told(file: ModelFile, engine: str, fit: Fit, free_bytes: int) -> str:
    """What was chosen, and why not more."""
    trained = file.header["context"]
    wish = fitting.first_wish(trained)
    if (fit.context, fit.slots) != (wish, fitting.SLOTS[0]):
        why = "more doesn't fit"
    elif not trained:
        why = "its header doesn't say how many it was trained for"
    else:
        why = "all it was trained for" if wish == trained else f"it was trained for {trained}"
    served = f"{file.name} is served by {engine} for {', '.join(entries.types(file.header))}"
    size = f"{fit.slots} slot{'s' if fit.slots > 1 else ''} of {fit.context} tokens ({why})"
    return f"{served}: {size}, {trial.size(fit.memory_bytes)} of {trial.size(free_bytes)} free memory"


def weights(entry: Mapping[str, Any]) -> int:
    """Bytes of memory that an entry's file takes on its engine; none of one that isn't there."""
    file, factor = Path(entry.get("file", "")), trial.ENGINES.get(entry["engine"], 0)
    return int(file.stat().st_size * factor) if file.is_file() else 0


def entry_of(model: Model) -> dict[str, Any]:
    """A model of another catalogue as an entry of this one; paths are from the root on."""
    values = {field.name: getattr(model, field.name) for field in fields(model) if field.name != "name"}
    return {key: _as_toml(value) for key, value in values.items() if value}


def _as_toml(value: Any) -> Any:
    match value:
        case Path():
            return str(value)
        case tuple():
            return list(value)
        case Mapping():
            return dict(value)
    return value


def write(path: Path, found: Mapping[str, Mapping[str, Any]]) -> None:
    """Replaces the catalogue, whole or not at all."""
    head = "# Written by `forebay up --model` at its start. To keep an entry, copy it to a catalogue of your own."
    new = path.with_suffix(".new")
    new.write_text("\n\n".join([head, *(entries.table(*item) for item in found.items())]) + "\n", encoding="utf-8")
    os.replace(new, path)
