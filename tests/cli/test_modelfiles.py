"""Files that `forebay up` is given, on their way to a catalogue."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import psutil
import pytest

from cli.launcher import fitting, modelfiles
from tasks.models import catalog
from tasks.models.catalog import Model
from tests.support.catalogs import EMBEDDING_MODEL, without_embedding_model
from tests.workers import files
from tests.workers.runs import MODEL

assert MODEL.file
DEMO = MODEL.file
MB = 10**6


@dataclass(frozen=True, slots=True)
class Memory:
    """What the machine has left."""

    available: int


@pytest.fixture
def said() -> list[str]:
    return []


def with_room(monkeypatch: pytest.MonkeyPatch, room_bytes: int) -> None:
    """A machine that has so much left for models."""
    memory = Memory(room_bytes + fitting.RESERVE_BYTES)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)


def copies(folder: Path, *names: str) -> list[Path]:
    files = [folder / name for name in names]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.symlink_to(DEMO)
    return files


def test_file_is_served_under_its_own_name_by_the_first_engine_that_runs_it(tmp_path: Path, said: list[str]) -> None:
    """With all the context it was trained for; what is done and why is told."""
    [file] = copies(tmp_path, "a 'model'\nof \"mine\".gguf")
    written = tmp_path / "catalog.toml"
    modelfiles.write(written, modelfiles.serve([file, file], {}, said.append))
    [model] = catalog.load(written).values()
    expected = Model("a-model-of-mine", "llamacpp", 512, 4, ("generate", "chat"), DEMO, default=True)
    assert model == expected
    assert said[0].startswith("loading a 'model'?of \"mine\".gguf with llamacpp")
    assert said[1].startswith(
        "a-model-of-mine is served by llamacpp for generate, chat: 4 slots of 512 tokens (all it was trained for), "
    )


def test_files_come_before_those_beside_them_and_are_the_default(tmp_path: Path, said: list[str]) -> None:
    """Names that collide are made distinct; what stands beside stays as it was."""
    files = copies(tmp_path, "one/demo.gguf", "two/demo.gguf", "beside.gguf")
    options = {"token_s": 0.5, "words": ["a"]}
    beside = Model("beside", "echo", 64, 2, ("chat", "generate"), default=True, options=options)
    written = tmp_path / "catalog.toml"
    modelfiles.write(written, modelfiles.serve(files, {"beside": modelfiles.entry_of(beside)}, said.append))
    models = catalog.load(written)
    assert list(models) == ["demo", "demo-2", "beside-2", "beside"]
    assert models["beside"] == beside
    first = catalog.for_type(models, "chat")
    assert first
    assert first.name == "demo"


@without_embedding_model
def test_model_for_embeddings_serves_those_alone(said: list[str]) -> None:
    """Its header says that it is one."""
    [entry] = modelfiles.serve([EMBEDDING_MODEL], {}, said.append).values()
    assert (entry["types"], entry["context"]) == (["embed"], 512)


def test_memory_is_shared_between_the_files(tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The first leaves the second its part, and who has less than it would is told so."""
    files = copies(tmp_path, "one.gguf", "two.gguf")
    [alone] = modelfiles.read(files[:1], {})
    most = fitting.best("llamacpp", alone.header, 10**9)
    assert most
    with_room(monkeypatch, most.memory_bytes + alone.least_bytes)
    given = [entry["slots"] for entry in modelfiles.serve(files, {}, said.append).values()]
    assert given == [2, 2]
    assert "2 slots of 512 tokens (more doesn't fit)" in said[1]


def test_what_stands_beside_needs_memory_too(tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its weights are left to it; a file that has no room is refused with what it takes on each engine."""
    files = copies(tmp_path, "one.gguf")
    beside = modelfiles.entry_of(Model("beside", "llamacpp", 512, 4, ("chat",), DEMO))
    with_room(monkeypatch, int(DEMO.stat().st_size * 1.9) + MB)
    with pytest.raises(click.ClickException) as refused:
        modelfiles.serve(files, {"beside": beside}, said.append)
    assert "llamacpp: it takes 8.1 MB or more, and 1.0 MB are free for it" in refused.value.message
    assert "ctransformers: it takes" in refused.value.message


def test_second_engine_is_taken_where_the_first_has_no_room(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes less memory for the same file."""
    files = copies(tmp_path, "one.gguf")
    [file] = modelfiles.read(files, {})
    with_room(monkeypatch, fitting.smallest("llamacpp", file.header) - 1)
    [entry] = modelfiles.serve(files, {}, said.append).values()
    assert entry["engine"] == "ctransformers"


@pytest.mark.parametrize("kind", ["no model", "no engine's", "missing"])
def test_file_that_will_not_run_is_refused_with_the_reason(tmp_path: Path, said: list[str], kind: str) -> None:
    """Each engine's own, where they were asked."""
    file = tmp_path / "odd.gguf"
    told: Any = ["[Errno 2]"]
    if kind == "no model":
        file.write_text("a text, and a longer one than the head of a model")
        told = ["not a GGUF file"]
    elif kind == "no engine's":
        files.with_pre_tokenizer(file, "qwen2", "qwen2")
        told = ["no engine runs this file", "  llamacpp: ", "  ctransformers: ctransformers can't run this model"]
    with pytest.raises(click.ClickException) as refused:
        modelfiles.serve([file], {}, said.append)
    assert all(part in refused.value.message for part in [str(file), *told])
