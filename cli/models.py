"""`forebay models`: whether a model file will run, before it is in the catalogue."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from cli.lineup import ROOT

_HEADER_LIMIT_S = 60.0
# Bytes of memory for one of the file: measured on a 1.1 billion parameter Q4_0 (docs/adr/0008). llama.cpp keeps the
# weights a second time, rearranged; ctransformers computes on the file's own pages.
_ENGINES = {"llamacpp": 1.9, "ctransformers": 1.1}


@click.group()
def models() -> None:
    """Look at model files."""


@models.command()
@click.argument("file", type=click.Path(path_type=Path, resolve_path=True))
@click.option("--context", type=click.IntRange(16), help="Tokens a job may use.  [default: up to 4096]")
@click.option("--slots", type=click.IntRange(1, 64), default=4, show_default=True, help="Jobs at the same time.")
@click.option(
    "--binary", type=click.Path(exists=True, dir_okay=False, resolve_path=True), help="A llama-server to try with, too."
)
@click.option("--limit", "limit_s", default=300.0, show_default=True, help="Seconds an engine may take.")
def check(file: Path, context: int | None, slots: int, binary: str | None, limit_s: float) -> None:
    """Say whether FILE, a GGUF model, runs here, on which engine and with how much memory.

    It is loaded and asked for a few tokens, or a vector, in processes of their own; a damaged file costs one of them.
    The exit status is 1 when no engine runs it.
    """
    header = _ask([str(file)], _HEADER_LIMIT_S)
    if "error" in header:
        raise click.ClickException(header["error"])
    context = context or min(header["context"] or 4096, 4096)
    _tell(header)
    running = [engine for engine in _ENGINES if _try(engine, file, header, context, slots, binary, limit_s)]
    if not running:
        raise click.ClickException("no engine runs this file")
    click.echo("\nFor the catalogue (models/catalog.toml, or the file that FOREBAY_CATALOG names):\n")
    click.echo(_entry(running[0], file, header, context, slots, binary))


def _tell(header: Mapping[str, Any]) -> None:
    rows = {
        "architecture": header["architecture"],
        "tokenizer": header["tokenizer"],
        "parameters": f"{header['parameters'] / 1e6:,.1f} million, most of them {header['quantization']}",
        "context": f"{header['context']} tokens at most" if header["context"] else "not told",
        "chat template": "yes" if header["template"] else "no",
        "file": _size(header["file_bytes"]),
    }
    for name, value in rows.items():
        click.echo(f"{name:<15}{_plain(str(value))}")


def _try(
    engine: str, file: Path, header: Mapping[str, Any], context: int, slots: int, binary: str | None, limit_s: float
) -> bool:
    """Tries the engine and tells the verdict."""
    # Half the cores: others may need the rest, and threads that wait for a core make all of them slow.
    numbers = [str(context), str(slots), str(max(1, (os.cpu_count() or 1) // 2))]
    told = _ask([str(file), engine, *numbers, *([binary] if binary and engine == "llamacpp" else [])], limit_s)
    if "error" in told:
        click.echo(f"{engine:<15}no: {_plain(told['error'])}")
        return False
    gave = f"a vector of {told['dimensions']} numbers" if header["embeds"] else f"{told['tokens']} tokens"
    click.echo(f"{engine:<15}yes: loaded in {told['load_s']} s, gave {gave} in {told['took_s']} s")
    factor, cache = _ENGINES[engine], header["cache_bytes_per_token"] * context * slots
    memory = _size(int(header["file_bytes"] * factor) + cache)
    click.echo(f"{'':<15}memory: {memory}, {factor} of the file and {_size(cache)} for {slots} contexts of {context}")
    return True


def _ask(argv: Sequence[str], limit_s: float) -> dict[str, Any]:
    """What `workers.engines.check` answers; an `error` too when it dies or takes too long, with all it started."""
    process = subprocess.Popen(
        [sys.executable, "-m", "workers.engines.check", *argv],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        answer, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        answer = json.dumps({"error": f"it takes more than {limit_s:g} s"})
    finally:
        _end(process)
    if not answer:
        return {"error": f"the check ended with code {process.returncode}"}
    return dict(json.loads(answer))


def _end(process: "subprocess.Popen[str]") -> None:
    """Also what it started, which has its process group: a load that hangs doesn't notice that we are gone."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.communicate()


def _entry(engine: str, file: Path, header: Mapping[str, Any], context: int, slots: int, binary: str | None) -> str:
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", file.stem).strip("-") or "model"
    rows = {
        "engine": engine,
        "file": str(file),
        "context": context,
        "slots": slots,
        "types": _types(header),
    }
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in rows.items()]
    if binary and engine == "llamacpp":
        lines.append(f"options = {{ binary = {json.dumps(binary, ensure_ascii=False)} }}")
    return "\n".join([f"[{name}]", *lines])


def _types(header: Mapping[str, Any]) -> list[str]:
    if header["embeds"]:
        return ["embed"]
    return ["generate", "chat"] if header["template"] else ["generate"]


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def _plain(text: str) -> str:
    """What comes out of a foreign file mustn't command the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
