"""Flower as we start it."""

import subprocess
import sys

from cli.launcher import lineup

# Prints what Flower makes of a command line: it reads it a second time, in its own way.
READ = """
import sys
from flower import command
command.apply_options("flower", sys.argv[1:])
print(command.options.port, command.options.read_only, command.options.max_tasks)
"""


def test_flower_takes_every_option_that_it_is_started_with() -> None:
    """What it doesn't know it would skip without a word, and remember ten times as much."""
    options = [part for part in lineup.flower(5556, {}).argv if part.startswith("--")]
    read = subprocess.run([sys.executable, "-c", READ, *options], capture_output=True, text=True, check=True)
    assert read.stdout.split() == ["5556", "True", str(lineup.FLOWER_TASKS)]
