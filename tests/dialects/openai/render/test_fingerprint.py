"""What answers were made by, in a word."""

from dataclasses import replace
from pathlib import Path

from dialects.openai.render import fingerprint
from tasks.models.catalog import Model

MODEL = Model("m", "llamacpp", context=64, slots=2, types=("chat",))


def test_it_is_the_same_until_something_changes(tmp_path: Path) -> None:
    """A file, an engine, a setting; how many slots there are changes no answer."""
    file = tmp_path / "m.gguf"
    file.write_bytes(b"one")
    model = replace(MODEL, file=file)
    before = fingerprint.of(model)
    assert before is not None
    assert before == fingerprint.of(model) == fingerprint.of(replace(model, slots=4))
    assert before != fingerprint.of(replace(model, context=65))
    file.write_bytes(b"three")
    assert before != fingerprint.of(model)


def test_there_is_none_of_what_isnt_there(tmp_path: Path) -> None:
    """A model that isn't served, or has lost its file."""
    assert fingerprint.of(None) is None
    assert fingerprint.of(replace(MODEL, file=tmp_path / "none")) is None
