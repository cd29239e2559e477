"""What tests of stages begin with."""

import pytest

from db.session import Sessions
from tasks.keys import Caller
from tests.workers.conftest import MakeWorker
from tests.workers.staged import FACTS, ingesting, written
from workers import run


@pytest.fixture
def facts(sessions: Sessions, caller: Caller, make_worker: MakeWorker) -> None:
    """Two documents in a collection."""
    new = (written(FACTS), written("Anna is a nurse.", title="People"))
    run.run(make_worker("embedder"), ingesting(sessions, caller, *new))
