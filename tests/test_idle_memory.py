"""What a process doesn't carry around while nothing happens."""

import os
import subprocess
import sys

import pytest

# Prints which of the modules named after the first are there once the first is imported.
LOADED = "import importlib, sys; importlib.import_module(sys.argv[1]); print(*sys.modules.keys() & set(sys.argv[2:]))"


@pytest.mark.parametrize(
    ("module", "spared"),
    [
        ("workers.engines.llamacpp_host", ["numpy", "structlog", "httpcore"]),
        ("workers.engines.tokenizer_host", ["numpy", "structlog", "httpcore"]),
        ("cli.launcher.up", ["structlog", "rich", "httpx"]),
        ("workers.serve", ["flower", "tornado", "prompt_toolkit", "pydantic"]),
        ("webapi.app", ["pydantic", "tasks.functions.registry"]),
        ("workers.flower", ["numpy", "sqlalchemy", "psycopg"]),
    ],
)
def test_process_is_spared_what_it_has_no_use_for(module: str, spared: list[str]) -> None:
    """Each of these is megabytes, and there are several such processes."""
    command = [sys.executable, "-c", LOADED, module, *spared]
    env = {**os.environ, "FLOWER_BASIC_AUTH": "user:password"}
    assert subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.split() == []
