import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("which", ["", "-embedded", "-ctransformers", "-dev"])
def test_licences_name_every_requirement(which: str) -> None:
    """No package comes in without its licence written down."""
    lines = (ROOT / f"requirements{which}.txt").read_text().splitlines()
    wanted = {re.split(r"[=\[]", line)[0] for line in lines if re.match(r"\w", line)}
    named = set(re.findall(r"[\w.-]+", (ROOT / "LICENSES.md").read_text()))
    assert wanted - named == set()
