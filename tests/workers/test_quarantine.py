"""The quarantine: who may run after a host's death, and who is blamed for it."""

import threading
from collections.abc import Callable

import pytest

from tasks import errors
from tests.support.waiting import until
from workers import quarantine
from workers.quarantine import Quarantine, Run


def nothing() -> None:
    """Nobody asks the run to stop."""


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Quarantine:
    """Where a trial ends when the test says so, not by the clock."""
    monkeypatch.setattr(quarantine, "_CHECK_S", 0.005)
    made = Quarantine()
    made._trial_s = 1000.0
    return made


def entering(gate: Quarantine, run: Run) -> threading.Event:
    """Set once the quarantine lets the run in, in a thread of its own."""
    inside, asked = threading.Event(), threading.Event()

    def enter() -> None:
        gate.enter(run, asked.set)
        inside.set()

    threading.Thread(target=enter, daemon=True).start()
    until(lambda: asked.is_set() or inside.is_set())
    return inside


def inside(gate: Quarantine, *runs: Run) -> None:
    for run in runs:
        gate.enter(run, nothing)


def die(gate: Quarantine, *runs: Run) -> None:
    """The host dies under these runs, and each of them says so."""
    for run in runs:
        gate.lost(run)


def over(gate: Quarantine) -> None:
    """The trial under way has lasted as long as it may."""
    gate._trial_ends_at = 0.0


def test_after_a_death_suspects_are_tried_one_at_a_time_beside_those_who_passed(gate: Quarantine) -> None:
    """Nobody begins during a trial; one that has passed runs on while the next is tried, and a newcomer beside both."""
    first, second, newcomer = Run(), Run(), Run()
    inside(gate, first, second)
    die(gate, first, second)
    gate.enter(first, nothing)
    waits, late = entering(gate, second), entering(gate, newcomer)
    assert not waits.is_set()
    assert not late.is_set()
    gate.proven(first)
    assert waits.wait(60)
    assert not late.is_set()
    gate.proven(second)
    assert late.wait(60)
    assert gate._inside == [first, second, newcomer]


def test_trial_of_a_suspect_that_says_nothing_yet_ends_by_the_clock(gate: Quarantine) -> None:
    """A long prompt that is evaluated again keeps nobody waiting for more than a trial."""
    first, second = Run(), Run()
    inside(gate, first, second)
    die(gate, first, second)
    gate.enter(first, nothing)
    waits = entering(gate, second)
    assert not waits.is_set()
    over(gate)
    assert waits.wait(60)
    assert first.unproven


def test_run_that_dies_alone_twice_is_guilty_and_its_neighbours_are_not(gate: Quarantine) -> None:
    """Once beside others could be an error: it is tried first and alone before that is said."""
    culprit, neighbour = Run(), Run()
    inside(gate, culprit, neighbour)
    die(gate, culprit, neighbour)
    assert (culprit.losses, neighbour.losses) == (0, 0)
    gate.enter(neighbour, nothing)
    gate.proven(neighbour)
    gate.enter(culprit, nothing)
    die(gate, culprit, neighbour)
    assert (culprit.losses, neighbour.losses, culprit.guilty) == (1, 0, False)
    gate.enter(culprit, nothing)
    waits = entering(gate, neighbour)
    assert not waits.is_set()
    die(gate, culprit)
    assert culprit.guilty
    gate.leave(culprit)
    assert waits.wait(60)


def test_innocent_run_blamed_for_anothers_death_is_cleared_by_its_trial_alone(gate: Quarantine) -> None:
    """Even when that happens to it twice: the second time it isn't alone, and doesn't count."""
    unlucky, late_killer = Run(), Run()
    inside(gate, unlucky, late_killer)
    for _ in range(2):
        die(gate, unlucky, late_killer)
        gate.enter(late_killer, nothing)
        gate.proven(late_killer)
        gate.enter(unlucky, nothing)
    die(gate, late_killer, unlucky)
    assert unlucky.losses == 1
    gate.enter(unlucky, nothing)
    gate.proven(unlucky)
    assert unlucky.losses == 0


def test_only_unproven_run_is_blamed_when_no_trial_is_under_way(gate: Quarantine) -> None:
    """It dies in the middle of its prompt, after its trial."""
    slow, neighbour = Run(), Run()
    inside(gate, slow, neighbour)
    die(gate, slow, neighbour)
    gate.enter(slow, nothing)
    over(gate)
    gate.enter(neighbour, nothing)
    gate.proven(neighbour)
    die(gate, neighbour, slow)
    assert (slow.losses, neighbour.losses) == (1, 0)


def test_death_that_several_unproven_runs_share_makes_trials_longer(gate: Quarantine) -> None:
    """Until they are so far apart that only one can have been it; a run that passes brings them back."""
    runs = [Run(), Run()]
    inside(gate, *runs)
    die(gate, *runs)
    for run in runs:
        gate.enter(run, nothing)
        over(gate)
    die(gate, *runs)
    assert [run.losses for run in runs] == [0, 0]
    assert gate._trial_s == quarantine._LONGEST_TRIAL_S
    gate.enter(runs[0], nothing)
    gate.proven(runs[0])
    assert gate._trial_s == quarantine.TRIAL_S


def test_run_that_found_the_host_dead_leaves_without_blame(gate: Quarantine) -> None:
    """Though it was being tried."""
    run, other = Run(), Run()
    inside(gate, run, other)
    die(gate, run, other)
    gate.enter(run, nothing)
    gate.leave(run)
    assert run.losses == 0
    gate.enter(other, nothing)


def test_waiting_can_be_given_up(gate: Quarantine) -> None:
    """A run that is cancelled while it waits leaves no trace."""
    tried, waiting = Run(suspect=True), Run()
    gate.enter(tried, nothing)

    def cancelled() -> None:
        raise errors.Cancelled("stop")

    with pytest.raises(errors.Cancelled):
        gate.enter(waiting, cancelled)
    gate.proven(tried)
    gate.enter(Run(), nothing)
    assert waiting not in gate._inside


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_exclusive_run_is_inside_alone(gate: Quarantine, order: tuple[int, int]) -> None:
    """It waits until everyone has left, and nobody joins it, however long it takes."""
    runs = [Run(suspect=True, exclusive=True), Run()]
    first, second = (runs[number] for number in order)
    gate.enter(first, nothing)
    waits = entering(gate, second)
    over(gate)
    assert not waits.wait(0.05)
    gate.leave(first)
    assert waits.wait(60)


def test_any_number_of_runs_comes_through_deaths_at_random(gate: Quarantine) -> None:
    """Threads enter, lose their host together, are proven and leave: nobody is left waiting, and nobody inside."""
    runs = [Run() for _ in range(8)]

    def life(run: Run, act: Callable[[Run], None]) -> None:
        gate.enter(run, nothing)
        act(run)
        gate.enter(run, nothing)
        gate.proven(run)
        gate.leave(run)

    threads = [threading.Thread(target=life, args=(run, gate.lost), daemon=True) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert (gate._inside, gate._waiting) == ([], [])
