"""The cores of a machine, shared out among its models."""

import os
from pathlib import Path

import pytest

from tasks.models import cores
from tasks.models.catalog import Model


def model(name: str, engine: str = "llamacpp", **more: object) -> Model:
    return Model(name, engine, context=64, slots=1, types=("chat",), **more)  # type: ignore[arg-type]


def group(root: Path, told: str, path: str = "/") -> Path:
    """A root folder as a process of that control group finds it."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(f"1:name=systemd:/old\n0::{path}\n")
    folder = root / "sys/fs/cgroup" / path.strip("/")
    folder.mkdir(parents=True)
    (folder / "cpu.max").write_text(told)
    return root


@pytest.mark.parametrize(
    ("told", "limit"), [("max 100000\n", None), ("200000 100000\n", 2), ("50000 100000\n", 1), ("350000 100000\n", 3)]
)
def test_limit_is_whole_cores(told: str, limit: int | None, tmp_path: Path) -> None:
    assert cores.limited(group(tmp_path, told)) == limit


def test_limit_of_a_unit_is_in_its_own_folder(tmp_path: Path) -> None:
    """Outside a container the path in the tree of groups says which."""
    assert cores.limited(group(tmp_path, "400000 100000", "/system.slice/forebay.service")) == 4


def test_no_limit_where_there_are_no_such_groups(tmp_path: Path) -> None:
    assert cores.limited(tmp_path) is None


def test_models_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """What computes nothing, and what is left out, takes no share; nobody gets none."""
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(cores, "limited", lambda: None)
    gone = model("gone", optional=True, file=Path("/nowhere.gguf"))
    assert cores.each([model("a"), model("b"), model("echo", "echo"), gone]) == 4
    assert cores.each([model(str(number)) for number in range(20)]) == 1
    assert cores.own([model("a"), model("b")]) == 4


def test_worker_with_a_limit_of_its_own_uses_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is the container's; what several models share within one, as under `up`, they divide."""
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(cores, "limited", lambda: 6)
    models = [model("a"), model("b")]
    assert (cores.own(models), cores.each(models)) == (6, 3)
