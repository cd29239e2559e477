"""`forebay models`: what is served, and whether a model file will run before it is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from cli.client import client as api
from cli.client import columns
from cli.client.client import Client
from cli.launcher import entries, trial


@click.group()
def models() -> None:
    """Look at models and at model files."""


@models.command("list")
@api.options
def list_(client: Client) -> None:
    """List the models that jobs can ask for; `*` marks those that serve jobs which name none."""
    rows = [("name", "engine", "types", "context", "slots", "workers")]
    for model in client.models():
        name = f"{model['id']}{' *' if model['default'] else ''}"
        numbers = (str(model.get(key, "")) for key in ("context", "slots", "workers"))
        rows.append((name, model.get("engine", ""), ", ".join(model["types"]), *numbers))
    click.echo(columns.aligned(rows))


@models.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--context", type=click.IntRange(16), help="Tokens a job may use.  [default: up to 4096]")
@click.option("--slots", type=click.IntRange(1, 64), default=4, show_default=True, help="Jobs at the same time.")
@click.option(
    "--binary", type=click.Path(exists=True, dir_okay=False, resolve_path=True), help="A llama-server to try with, too."
)
@click.option(
    "--template",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path),
    help="A Jinja file to take for its chat template, instead of its own.",
)
@click.option("--limit", "limit_s", default=trial.ENGINE_LIMIT_S, show_default=True, help="Seconds an engine may take.")
def check(
    file: Path, context: int | None, slots: int, binary: str | None, template: Path | None, limit_s: float
) -> None:
    """Say whether FILE, a GGUF model, runs here, on which engine and with how much memory.

    It is loaded and asked for a few tokens, or a vector, in processes of their own; a damaged file costs one of them.
    The exit status is 1 when no engine runs it.
    """
    file = entries.placed(file)
    header = trial.header(file, template)
    if "error" in header:
        raise click.ClickException(trial.plain(header["error"]))
    context = context or min(header["context"] or 4096, 4096)
    _tell(header, template)
    running = [engine for engine in trial.ENGINES if _try(engine, file, header, context, slots, binary, limit_s)]
    if not running:
        raise click.ClickException("no engine runs this file")
    click.echo("\nFor the catalogue (models/catalog.toml, or the file that FOREBAY_CATALOG names):\n")
    options: dict[str, Any] = {"template": str(template)} if template else {}
    if binary and running[0] == "llamacpp":
        options["options"] = {"binary": binary}
    click.echo(_entry(running[0], file, header, context, slots, options))


def _tell(header: Mapping[str, Any], template: Path | None) -> None:
    rows = {
        "architecture": header["architecture"],
        "tokenizer": header["tokenizer"],
        "parameters": f"{header['parameters'] / 1e6:,.1f} million, most of them {header['quantization']}",
        "context": f"{header['context']} tokens at most" if header["context"] else "not told",
        "chat template": header["template_problem"] or (str(template) if template else "the file's own"),
        "infill": "its vocabulary has the tokens" if header["infills"] else "no: its vocabulary has no tokens for it",
        "file": trial.size(header["file_bytes"]),
    }
    for name, value in rows.items():
        click.echo(f"{name:<15}{trial.plain(str(value))}")


def _try(
    engine: str, file: Path, header: Mapping[str, Any], context: int, slots: int, binary: str | None, limit_s: float
) -> bool:
    """Tries the engine and tells the verdict."""
    told = trial.run(engine, file, context, slots, binary, limit_s)
    if "error" in told:
        click.echo(f"{engine:<15}no: {trial.plain(told['error'])}")
        return False
    click.echo(f"{engine:<15}yes: loaded in {told['load_s']} s, gave {_given(told)} in {told['took_s']} s")
    memory = trial.size(trial.memory(engine, header, context, slots))
    cache = trial.size(header["cache_bytes_per_token"] * context * slots)
    factor = trial.ENGINES[engine]
    click.echo(f"{'':<15}memory: {memory}, {factor} of the file and {cache} for {slots} contexts of {context}")
    return True


def _given(told: Mapping[str, Any]) -> str:
    if "dimensions" in told:
        return f"a vector of {told['dimensions']} numbers"
    return f"the rank {told['rank']}" if "rank" in told else f"{told['tokens']} tokens"


def _entry(
    engine: str, file: Path, header: Mapping[str, Any], context: int, slots: int, options: Mapping[str, Any]
) -> str:
    entry: dict[str, Any] = {
        "engine": engine,
        "file": str(file),
        "context": context,
        "slots": slots,
        "types": entries.types(header),
        **options,
    }
    return entries.table(entries.name_of(file), entry)
