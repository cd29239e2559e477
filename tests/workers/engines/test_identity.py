"""By what a model's file is known again: what was answered before holds for no other."""

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.models.catalog import Model
from workers.engines import loading, tokenizer
from workers.engines.echo import Echo

LARGE = 64 << 20


def model(path: Path) -> Model:
    return Model("small", "llamacpp", 512, 1, ("chat",), path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "large.gguf"
    with path.open("wb") as made:
        made.truncate(LARGE)
    return path


def test_copies_are_one_model_whenever_they_were_made(file: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(file, tmp_path / "copy.gguf"))
    os.utime(copy, (0, 0))
    assert tokenizer.identity(model(file)) == tokenizer.identity(model(copy))


@pytest.mark.parametrize("at", [0, 1 << 20, LARGE - 1])
def test_other_contents_of_the_same_size_are_another_model(file: Path, at: int) -> None:
    """In the header, where its own template and its words are, and to the end."""
    before = tokenizer.identity(model(file))
    with file.open("r+b") as opened:
        opened.seek(at)
        opened.write(b"x")
    assert tokenizer.identity(model(file)) != before


def test_another_template_is_another_model(file: Path, tmp_path: Path) -> None:
    """It makes another prompt of the same message."""
    template = tmp_path / "chat.jinja"
    told = replace(model(file), template=template)
    template.write_text("{{ messages }}")
    before = tokenizer.identity(told)
    template.write_text("Now: {{ messages }}")
    assert len({before, tokenizer.identity(told), tokenizer.identity(model(file))}) == 3


def test_answers_are_made_by_all_that_the_catalogue_says_of_a_model() -> None:
    """But for what it is called, and how many slots it has."""
    known = Model("small", "echo", 512, 1, ("embed",))
    changes: list[dict[str, Any]] = [
        {"context": 256},
        {"passage_prefix": "text: "},
        {"query_prefix": "text: "},
        {"options": {"token_s": 1.0}},
        {"engine": "llamacpp"},
    ]
    engine = Echo("small", slots=1, context=512)
    others = [loading.identity(replace(known, **change), engine) for change in changes]
    others.append(loading.identity(known, replace(engine, identity="another file")))
    mine = loading.identity(known, engine)
    assert len({mine, *others}) == 7
    assert loading.identity(replace(known, name="large", slots=2), engine) == mine
