"""What models can't do, and who is told."""

from collections.abc import Mapping
from typing import Any

import pytest

from tasks import errors
from tasks.doors import submitting
from tasks.models import capabilities
from tasks.models.capabilities import ENGINES, Capability
from tasks.models.catalog import Model
from tests import tables


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Model]:
    """A model on an engine that can only write."""
    monkeypatch.setitem(capabilities.ENGINES, "plain", frozenset())
    return {"m": Model("m", "plain", context=64, slots=1, types=("generate",))}


@pytest.mark.parametrize(("params", "name"), [({"stop": ["x"]}, "stop"), ({"temperature": 0, "seed": 0}, "seed")])
def test_parameter_that_the_model_cannot_heed_is_refused_by_name(
    plain: Mapping[str, Model], params: dict[str, Any], name: str
) -> None:
    """Never ignored."""
    with pytest.raises(errors.InvalidField) as refused:
        submitting.plan(plain, tables.submission(type="generate", model="m", params=params))
    assert refused.value.field == f"params.{name}"


@pytest.mark.parametrize("params", [{}, {"temperature": 1}, {"stop": []}, {"seed": None}])
def test_what_is_not_asked_for_is_not_missed(plain: Mapping[str, Model], params: dict[str, Any]) -> None:
    submitting.plan(plain, tables.submission(type="generate", model="m", params=params))


def test_model_that_embeds_does_nothing_else_and_no_other_embeds() -> None:
    writes, embeds = (Model("m", "echo", context=8, slots=1, types=(type,)) for type in ("chat", "embed"))
    assert embeds.capabilities == {Capability.EMBEDS}
    assert writes.capabilities == ENGINES["echo"] - {Capability.EMBEDS}
