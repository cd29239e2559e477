"""The quarantine: suspects one by one and alone, everyone else together."""

import threading
import time

import pytest

from tasks import errors
from workers.quarantine import Quarantine


def nothing() -> None:
    """Nobody asks the run to stop."""


def entered(quarantine: Quarantine, *, alone: bool) -> threading.Event:
    """Set once the quarantine lets it in, in a thread of its own."""
    inside = threading.Event()

    def enter() -> None:
        quarantine.enter(nothing, alone=alone)
        inside.set()

    threading.Thread(target=enter, daemon=True).start()
    return inside


def test_suspect_waits_until_it_is_alone_and_nobody_joins_it() -> None:
    """Those inside finish first; newcomers and other suspects wait."""
    quarantine = Quarantine()
    quarantine.enter(nothing, alone=False)
    suspect = entered(quarantine, alone=True)
    assert not suspect.wait(0.1)
    quarantine.leave(alone=False)
    assert suspect.wait(10)
    other, newcomer = entered(quarantine, alone=True), entered(quarantine, alone=False)
    assert not other.wait(0.1)
    assert not newcomer.is_set()
    quarantine.leave(alone=True)
    assert other.wait(10)
    assert not newcomer.is_set()
    quarantine.mingle()
    assert newcomer.wait(10)


def test_waiting_can_be_given_up() -> None:
    """A run that is cancelled while it waits leaves no trace."""
    quarantine = Quarantine()
    quarantine.enter(nothing, alone=False)

    def cancelled() -> None:
        raise errors.Cancelled("stop")

    with pytest.raises(errors.Cancelled):
        quarantine.enter(cancelled, alone=True)
    quarantine.enter(nothing, alone=False)
    quarantine.leave(alone=False)
    quarantine.leave(alone=False)
    quarantine.enter(nothing, alone=True)


def test_many_suspects_run_one_after_the_other() -> None:
    """However many there are, no two are inside at once."""
    quarantine, inside, most = Quarantine(), [], []

    def run() -> None:
        quarantine.enter(nothing, alone=True)
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.005)
        inside.pop()
        quarantine.leave(alone=True)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 6
