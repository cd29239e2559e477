"""The rooms and who may enter them."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_import_contracts_hold() -> None:
    """Every contract of setup.cfg is kept."""
    lint = Path(sys.executable).parent / "lint-imports"
    checked = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_model_library_is_imported_by_one_module() -> None:
    """Only the engine host's module names xllamacpp, so that no other process holds native model code."""
    importers = [
        path.relative_to(ROOT).as_posix()
        for room in ("cli", "db", "dialects", "tasks", "webapi", "workers")
        for path in (ROOT / room).rglob("*.py")
        if "import xllamacpp" in path.read_text(encoding="utf-8")
    ]
    assert importers == ["workers/engines/llamacpp_host.py"]
