"""Entries of the catalogue as text: names that are legal, and TOML that says what it was given."""

import os
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.launcher import entries
from tasks.models import catalog

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=40)
    | st.datetimes(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("TinyLlama-1.1B-Chat.Q4_K_M.gguf", "TinyLlama-1-1B-Chat-Q4_K_M"),
        ("-dash.gguf", "dash"),
        ("a 'b' \"c\"\n.gguf", "a-b-c"),
        ("__.gguf", "model"),
        ("模型.gguf", "model"),
        ("model", "model"),
        (f"{'x' * 250}.gguf", "x" * 64),
    ],
)
def test_name_is_the_files_as_far_as_it_may_be(file: str, name: str) -> None:
    """Letters, digits, hyphens and underscores, and not too many of them."""
    assert entries.name_of(Path(file)) == name


def test_name_that_is_taken_gets_a_number() -> None:
    """The first that nobody has."""
    assert entries.name_of(Path("one.gguf"), {"one", "one-2"}) == "one-3"


@given(st.text(max_size=80))
def test_name_of_any_file_is_one_the_catalogue_takes(stem: str) -> None:
    """Whatever the file is called."""
    entry = {"engine": "echo", "context": 1, "slots": 1, "types": ["chat"]}
    name = entries.name_of(Path(stem.replace("/", "").replace("\0", "") + ".gguf"), {catalog.CONTROL})
    assert catalog._entry(Path("catalog.toml"), name, entry).name == name


@given(st.dictionaries(st.text(max_size=20), VALUES, min_size=1, max_size=6), st.text(max_size=40))
def test_what_is_written_is_what_is_read(entry: dict[str, Any], name: str) -> None:
    """Quotes, newlines and control characters too."""
    assert tomllib.loads(entries.table(name, entry)) == {name: entry}


def test_path_that_is_not_utf8_is_refused() -> None:
    """The catalogue couldn't hold it; the terminal is shown no more of it than it can show."""
    with pytest.raises(click.ClickException, match=r"^bad\?\.gguf: .* must be UTF-8"):
        entries.placed(Path(os.fsdecode(b"bad\xff.gguf")))
