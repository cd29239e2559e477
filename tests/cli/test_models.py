"""`forebay models check`, on the demo model and on what is none."""

from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner, Result

from benchmarks import random_reranker
from cli.main import main
from tasks.models import catalog
from tests.support.waiting import until
from tests.workers import files
from tests.workers.runs import MODEL

assert MODEL.file
WHOLE = MODEL.file.read_bytes()


def check(file: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["models", "check", str(file), *options])


def test_model_that_runs_is_told_with_an_entry_to_paste(tmp_path: Path) -> None:
    """Both engines run the demo model; the entry is one the catalogue takes as it is."""
    told = check(MODEL.file or Path(), "--slots", "2", "--context", "256")
    assert told.exit_code == 0, told.output
    assert "architecture   llama" in told.stdout
    assert "llamacpp       yes" in told.stdout
    assert "ctransformers  yes" in told.stdout
    assert "chat template  the file's own" in told.stdout
    pasted = tmp_path / "catalog.toml"
    pasted.write_text(told.stdout[told.stdout.index("\n[") :])
    [model] = catalog.load(pasted).values()
    assert (model.engine, model.file, model.context, model.slots) == ("llamacpp", MODEL.file, 256, 2)


def test_reranker_is_told_as_what_it_is(tmp_path: Path) -> None:
    """By the pooling that its header names: its entry serves nothing else."""
    told = check(random_reranker.write(tmp_path / "random.gguf"), "--slots", "2")
    assert told.exit_code == 0, told.output
    assert "gave the rank -" in told.stdout
    assert "ctransformers  no: " in told.stdout
    pasted = tmp_path / "catalog.toml"
    pasted.write_text(told.stdout[told.stdout.index("\n[") :])
    [model] = catalog.load(pasted).values()
    assert (model.engine, model.types, model.context) == ("llamacpp", ("rerank",), 128)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not a GGUF file"),
        (b"a text, and a longer one than the head of a model", "not a GGUF file"),
        (WHOLE[: len(WHOLE) // 2], "cut off"),
        (WHOLE.replace(b"blk.0.attn_q", b"blk.0.attn_\x1b", 1), "no engine runs this file"),
        (WHOLE.replace(b"\0llama", b"\0ll\x1b[m", 1), "architecture   ll?[m"),
    ],
)
def test_file_that_will_not_run_is_status_1_with_the_reason(tmp_path: Path, content: bytes, told: str) -> None:
    """And what it says of itself doesn't reach the terminal as it is."""
    file = tmp_path / "odd name.gguf"
    file.write_bytes(content)
    answer = check(file)
    assert answer.exit_code == 1
    assert told in answer.output
    assert "\x1b" not in answer.output


def test_model_of_another_kind_is_refused_by_each_engine(tmp_path: Path) -> None:
    """With its own reason."""
    answer = check(files.with_pre_tokenizer(tmp_path / "qwen.gguf", "qwen2", "qwen2"))
    assert answer.exit_code == 1
    assert "llamacpp       no" in answer.stdout
    assert "ctransformers  no: ctransformers can't run this model: its architecture is 'qwen2'" in answer.stdout


def test_chat_template_is_told_with_what_is_wrong_with_it(tmp_path: Path) -> None:
    """None, a broken one, or one that is given: the entry says whether it can chat."""
    bare = files.without_template(MODEL.file or Path(), tmp_path / "bare.gguf")
    broken, good = tmp_path / "broken.jinja", tmp_path / "good.jinja"
    broken.write_text("{% if %}")
    good.write_text("{{ messages[-1]['content'] }}")
    small = ("--slots", "1", "--context", "128")
    without = check(bare, *small).stdout
    assert "chat template  the model has no chat template" in without
    assert 'types = ["generate"]' in without
    assert "chat template  the model's chat template: Expected" in check(bare, *small, "--template", str(broken)).stdout
    told = check(bare, *small, "--template", str(good)).stdout
    assert f"chat template  {good}" in told
    pasted = tmp_path / "catalog.toml"
    pasted.write_text(told[told.index("\n[") :])
    [model] = catalog.load(pasted).values()
    assert (model.types, model.template) == (("generate", "chat"), good)


@pytest.mark.parametrize(
    ("keys", "told"),
    [({"general_type": "adapter"}, "an adapter"), ({"split_no": 1, "split_count": 7}, "part 2 of 7")],
)
def test_file_that_is_no_whole_model_is_told_for_what_it_is(
    tmp_path: Path, keys: dict[str, int | str], told: str
) -> None:
    answer = check(files.foreign(tmp_path / "m.gguf", "llama", "llama", **keys))
    assert answer.exit_code == 1
    assert told in answer.output


def test_missing_file_is_told(tmp_path: Path) -> None:
    """By its name."""
    assert "none.gguf: [Errno 2]" in check(tmp_path / "none.gguf").output


def test_engine_that_takes_too_long_is_ended_with_all_it_started(tmp_path: Path) -> None:
    """Nothing is left behind."""
    binary = tmp_path / "llama-server"
    binary.write_text("#!/bin/sh\nsleep 1000\n")
    binary.chmod(0o755)
    answer = check(MODEL.file or Path(), "--limit", "3", "--binary", str(binary))
    assert "llamacpp       no: it takes more than 3 s" in answer.stdout
    until(lambda: not _alive(binary))


def _alive(binary: Path) -> list[int]:
    """Processes that were told of the file, and aren't only waiting to be buried."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline", "status"])
        if str(binary) in (process.info["cmdline"] or ()) and process.info["status"] != psutil.STATUS_ZOMBIE
    ]
