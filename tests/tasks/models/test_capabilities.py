"""What models can't do, and who is told."""

from collections.abc import Mapping
from typing import Any

import pytest

from db.session import Sessions
from tasks import errors, kinds
from tasks.keys import Caller
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
    sessions: Sessions, caller: Caller, plain: Mapping[str, Model], params: dict[str, Any], name: str
) -> None:
    """Never ignored."""
    with sessions.begin() as session, pytest.raises(errors.InvalidField) as refused:
        kinds.plan(session, plain, caller, tables.submission(model="m", params=params))
    assert refused.value.field == f"params.{name}"


@pytest.mark.parametrize("params", [{}, {"temperature": 1}, {"stop": []}, {"seed": None}])
def test_what_is_not_asked_for_is_not_missed(
    sessions: Sessions, caller: Caller, plain: Mapping[str, Model], params: dict[str, Any]
) -> None:
    with sessions.begin() as session:
        assert kinds.plan(session, plain, caller, tables.submission(model="m", params=params)).model == "m"


def test_model_that_embeds_or_reranks_does_nothing_else_and_no_other_does_that() -> None:
    types = ("chat", "embed", "rerank")
    writes, embeds, reranks = (Model("m", "echo", context=8, slots=1, types=(type,)) for type in types)
    assert embeds.capabilities == {Capability.EMBEDS}
    assert reranks.capabilities == {Capability.RERANKS}
    assert writes.capabilities == ENGINES["echo"] - {Capability.EMBEDS, Capability.RERANKS}
