"""OpenAI's client for Node, as any program has it: `node/client.mjs` says what it does and what must come of it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.platform import ROOT, Stack

FOLDER = ROOT / ".venv" / "node"  # `make openai-node` fills it
PROGRAM = Path(__file__).parent / "node" / "client.mjs"
PARTS = re.findall(r"^  async (\w+)\(\) \{$", PROGRAM.read_text(), re.MULTILINE)

pytestmark = pytest.mark.skipif(
    not (FOLDER / ".made-from").exists() or shutil.which("node") is None,
    reason="OpenAI's client for Node isn't here: make openai-node",
)


@pytest.mark.parametrize("part", PARTS)
def test_client_for_node_does_all_that_it_can_with(part: str, stack: Stack) -> None:
    """Everything that is asserted there holds; its last words are shown where something doesn't."""
    ours = {"OPENAI_BASE_URL": f"{stack.url}/v1", "OPENAI_API_KEY": stack.key, "OPENAI_FOLDER": str(FOLDER)}
    ran = subprocess.run(
        ["node", str(PROGRAM), part], env={**os.environ, **ours}, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
