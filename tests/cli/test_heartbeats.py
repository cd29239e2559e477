"""Processes that live on, and whose workers send no heartbeats."""

from typing import Any

import pytest

from cli.launcher import heartbeats
from cli.launcher.heartbeats import SILENT_S, Heartbeats, Listener

WORKERS = {"worker-a": "a", "control": "control"}


def answer(postgres: str = "ok", **alive: int) -> dict[str, Any]:
    return {"parts": {"postgres": postgres, "schema": "ok", "workers": alive}}


def test_worker_that_was_heard_and_fell_silent_is_told_once() -> None:
    """It is ended then, and counts again once its successor beats."""
    watched = Heartbeats(WORKERS)
    assert watched.silent(answer(a=1, control=1), 0) == []
    assert watched.silent(answer(a=0, control=1), SILENT_S) == []
    assert watched.silent(answer(a=0, control=1), SILENT_S + 1) == ["worker-a"]
    assert watched.silent(answer(a=0, control=1), 9 * SILENT_S) == []


def test_worker_that_still_loads_its_model_is_left_alone() -> None:
    """However long that takes."""
    watched = Heartbeats(WORKERS)
    assert watched.silent(answer(control=1), 0) == []
    assert watched.silent(answer(control=1), 100 * SILENT_S) == []


def test_worker_that_died_and_loads_its_model_again_is_left_alone() -> None:
    """Also while the heartbeats of the one before still count; heard itself and silent then, it is told."""
    watched = Heartbeats(WORKERS)
    watched.silent(answer(a=1, control=1), 0)
    watched.started_again("worker-a", 1)
    assert watched.silent(answer(a=1, control=1), 2) == []
    assert watched.silent(answer(control=1), 10 * SILENT_S) == []
    assert watched.silent(answer(a=1, control=1), 11 * SILENT_S) == []
    assert watched.silent(answer(control=1), 12 * SILENT_S + 1) == ["worker-a"]


@pytest.mark.parametrize("nothing", [None, answer("down"), answer("a write fails")])
def test_nobody_is_silent_while_postgres_is_not_well(nothing: dict[str, Any] | None) -> None:
    """No heartbeat can be kept then, nor right after."""
    watched = Heartbeats(WORKERS)
    watched.silent(answer(a=1, control=1), 0)
    assert watched.silent(nothing, 10 * SILENT_S) == []
    assert watched.silent(answer(a=0, control=0), 11 * SILENT_S - 1) == []


def test_listener_hands_on_what_it_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """From its own thread, each silence once."""
    monkeypatch.setattr(heartbeats, "ASK_EVERY_S", 0.001)
    monkeypatch.setattr(heartbeats, "SILENT_S", 0.0)
    answers = iter([answer(a=1)])
    listener = Listener(Heartbeats(WORKERS), lambda: next(answers, answer(a=0)))
    listener.start()
    silent: list[str] = []
    while not silent:
        silent = listener.silent()
    listener.stop()
    assert silent == ["worker-a"]
    assert listener.silent() == []
