"""Toolboxes for the odd functions of an operator."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.functions.toolbox import Toolbox
from tasks.settings import FunctionSettings

MODULES = str(Path(__file__).parent / "modules")


@pytest.fixture(scope="module")
def box() -> Iterator[Toolbox]:
    """One with the odd functions for all tests that leave it as it was."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(MODULES)
        made = Toolbox(FunctionSettings(modules=("odd_tools",), limit_s=60))
        yield made
        made.close()


@pytest.fixture
def toolbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Toolbox]]:
    """Makes a toolbox with the odd functions; all end with the test."""
    monkeypatch.syspath_prepend(MODULES)
    made = []

    def make(modules: tuple[str, ...] = ("odd_tools",), limit_s: float = 60, places: int = 4, **named: Any) -> Toolbox:
        limits = {"limits": named.pop("limits")} if "limits" in named else {}
        made.append(Toolbox(FunctionSettings(modules=modules, limit_s=limit_s, **named), places, **limits))
        return made[-1]

    yield make
    for each in made:
        each.close()
