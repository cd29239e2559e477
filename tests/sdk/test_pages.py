"""The Python of pages in `docs/` runs as it is pasted, block after block, where the client's two variables are set."""

import os
import re
import subprocess
import sys

import pytest

from tests.support import catalogs
from tests.support.platform import ROOT, Stack

ELSEWHERE = "langchain"  # what needs it is run by `benchmarks.clients_matrix`, which fetches it


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("batches.md", '"custom_id":"1"'),
        ("responses.md", "response.completed"),
        pytest.param("vector-stores.md", "42 coins", marks=catalogs.without_embedding_model),
    ],
)
def test_what_a_page_shows_runs(stack: Stack, page: str, said: str) -> None:
    """Each block may use what an earlier one has made; together they print what they are for."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.MULTILINE | re.DOTALL)
    script = "\n".join(block for block in blocks if ELSEWHERE not in block)
    variables = {"OPENAI_BASE_URL": f"{stack.url}/v1", "OPENAI_API_KEY": stack.key}
    ran = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, said in ran.stdout) == (0, True), ran.stdout + ran.stderr
