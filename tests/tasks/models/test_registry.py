"""The models there are now, as the catalogue's file changes."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tasks import errors
from tasks.models.registry import Models

ENTRY = '[{}]\nengine = "echo"\ncontext = 8\nslots = 1\ntypes = ["chat"]\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    written = tmp_path / "catalog.toml"
    written.write_text(ENTRY.format("first"))
    return written


def test_changed_file_is_read_again(file: Path) -> None:
    """A model that was added is there; a snapshot stays as it was."""
    models = Models(file)
    before = models.current()
    file.write_text(ENTRY.format("first") + ENTRY.format("second"))
    assert list(models.current()) == ["first", "second"]
    assert list(before) == ["first"]


def test_unchanged_file_is_read_once(file: Path) -> None:
    models = Models(file)
    assert models.current() is models.current()


def test_optional_model_without_its_file_is_not_served(file: Path) -> None:
    """It is there again with its file, which changes nothing in the catalogue."""
    optional = ENTRY.format("second") + 'optional = true\nfile = "second.gguf"\n'
    file.write_text(ENTRY.format("first") + optional)
    models = Models(file)
    assert (list(models.current()), list(models.served())) == (["first", "second"], ["first"])
    file.with_name("second.gguf").touch()
    assert list(models.served()) == ["first", "second"]


@pytest.mark.parametrize("broken", ["not [ TOML", ENTRY.format("x").replace("8", "-1"), None])
def test_file_that_becomes_unreadable_leaves_the_models_there_were(file: Path, broken: str | None) -> None:
    """Half written, wrong, or gone: it is told once, and the next good file counts."""
    models = Models(file)
    if broken is None:
        file.unlink()
    else:
        file.write_text(broken)
    with capture_logs() as told:
        assert list(models.current()) == list(models.current()) == ["first"]
    assert [(line["event"], line["kept"]) for line in told] == [("catalog_unreadable", "first")]
    file.write_text(ENTRY.format("better"))
    assert list(models.current()) == ["better"]


def test_file_that_cannot_be_read_at_the_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(errors.CatalogError, match=r"none\.toml"):
        Models(tmp_path / "none.toml")
