"""`forebay backup` of an `up` that runs."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.launcher import credentials
from cli.launcher.datafolder import DataFolder
from cli.main import main
from cli.operator import kept
from tasks.models import catalog
from tests.support.platform import Stack


def test_backup_from_another_shell_is_of_what_runs(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`up` was told of its catalogue by its own environment."""
    monkeypatch.delenv("FOREBAY_CATALOG", raising=False)
    argv = ["backup", str(tmp_path / "backup"), "--data", str(stack.data), "--without-models"]
    result = CliRunner().invoke(main, argv)
    assert result.exit_code == 0, result.output
    assert catalog.load(tmp_path / "backup" / kept.CATALOG) == catalog.load(stack.catalog)
    secrets = credentials.read(tmp_path / "backup" / kept.SECRETS)
    assert secrets == credentials.read(DataFolder(stack.data).secrets)
