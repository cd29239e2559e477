"""Whether a model file runs here: asked of `workers.engines.check`, in processes that a damaged file may cost."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cli.launcher.lineup import ROOT

HEADER_LIMIT_S = 60.0
ENGINE_LIMIT_S = 300.0
# The engines in the order in which they are tried, and the bytes of memory that each takes for one of the file:
# measured on a 1.1 billion parameter Q4_0 (docs/adr/0008). llama.cpp keeps the weights a second time, rearranged;
# ctransformers computes on the file's own pages.
ENGINES = {"llamacpp": 1.9, "ctransformers": 1.1}

Answer = Mapping[str, Any]


def header(file: Path, template: Path | None = None) -> Answer:
    """What the file's header says, and whether its chat template is good, or the one given; or the `error`."""
    return _ask([str(path) for path in (file, template) if path], HEADER_LIMIT_S)


def run(
    engine: str, file: Path, context: int, slots: int, binary: str | None = None, limit_s: float = ENGINE_LIMIT_S
) -> Answer:
    """What the engine said when it had loaded the file and been asked a little, or the `error` that it met."""
    # Half the cores: others may need the rest, and threads that wait for a core make all of them slow.
    numbers = [str(context), str(slots), str(max(1, (os.cpu_count() or 1) // 2))]
    return _ask([str(file), engine, *numbers, *([binary] if binary and engine == "llamacpp" else [])], limit_s)


def memory(engine: str, read: Answer, context: int, slots: int) -> int:
    """Bytes that the model takes, by its header: its weights, and the contexts of all slots."""
    return int(read["file_bytes"] * ENGINES[engine] + read["cache_bytes_per_token"] * context * slots)


def size(count: int) -> str:
    """Bytes, for the eye."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def plain(text: str) -> str:
    """What comes out of a foreign file, or is its name, mustn't command the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _ask(argv: Sequence[str], limit_s: float) -> Answer:
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
