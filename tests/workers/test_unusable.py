"""A worker whose engine can't be brought back."""

import uuid

import pytest
from celery.worker import state

from tasks import ids
from workers import app
from workers.worker import Worker


def test_worker_whose_engine_is_beyond_help_ends_with_its_next_message(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Celery's loop looks at this variable: whoever started the worker starts another."""
    monkeypatch.setattr(state, "should_stop", None)
    app.receive(worker, ids.show(uuid.uuid4()))
    assert state.should_stop is None
    worker.unusable.set()
    app.receive(worker, ids.show(uuid.uuid4()))
    assert state.should_stop == 1
