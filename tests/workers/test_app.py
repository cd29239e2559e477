"""The worker as a process: it serves, or says why not and goes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BROKEN = """
[gone]
engine = "llamacpp"
file = "gone.gguf"
context = 64
slots = 1
types = ["chat"]
"""


@pytest.mark.parametrize(
    ("queues", "told"),
    [
        ("gone.interactive,gone.batch", "gone.gguf"),
        ("nosuch.interactive,nosuch.batch", "no model 'nosuch'"),
        ("gone.interactive,other.batch", "one model"),
        ("control.interactive,control.batch", "WEBHOOK_KEY"),
    ],
)
def test_worker_that_cannot_serve_says_why_and_goes(
    tmp_path: Path, postgres_url: str, redis_url: str, queues: str, told: str
) -> None:
    """A missing file, an unknown model, two models, no key for webhooks: a reason on stderr and a status not zero."""
    catalog = tmp_path / "catalog.toml"
    catalog.write_text(BROKEN)
    urls = {"FOREBAY_DATABASE_URL": postgres_url, "FOREBAY_REDIS_URL": redis_url, "FOREBAY_CATALOG": str(catalog)}
    ended = subprocess.run(
        [sys.executable, "-m", "workers.serve", "-Q", queues, "-c", "1", "-n", "one@%h"],
        cwd=ROOT,
        env={**os.environ, **urls},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert told in ended.stderr


def test_missing_settings_are_all_named(tmp_path: Path) -> None:
    """A worker started without its environment says what it lacks."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("FOREBAY_")}
    queues = "control.interactive,control.batch"
    command = [sys.executable, "-m", "workers.serve", "-Q", queues, "-c", "1", "-n", "one@%h"]
    ended = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    assert "DATABASE_URL" in ended.stderr
    assert "REDIS_URL" in ended.stderr
