"""Rows that tests prove already: the program runs those tests and reports what they say."""

import subprocess
import sys
from collections.abc import Sequence

from tests.conftest import ROOT
from tests.faults.checker import Tally
from tests.faults.ground import Ground, NotHere, Row

# A row's tests, by node. Rows of other parts of the platform are added here with their tests.
TESTS: dict[str, Sequence[str]] = {
    "F28": (
        "tests/tasks/queues/test_sweep.py::test_job_that_took_three_workers_with_it_is_poison",
        "tests/workers/test_generation.py::test_job_whose_host_keeps_dying_is_poison",
        "tests/workers/test_generation.py::test_neighbours_of_a_deadly_job_come_to_their_end",
        "tests/workers/test_gguf.py::test_damaged_header_is_an_error_that_says_how",
    ),
    "F31": (
        "tests/tasks/queues/test_sweep.py::test_cancel_ends_a_job_once_whatever_its_state",
        "tests/tasks/test_jobs.py::test_another_tenants_job_is_as_unknown_as_none",
        "tests/workers/test_run.py::test_cancel_is_heard_at_once_and_by_the_heart",
        "tests/workers/test_generation.py::test_stop_ends_a_run_in_any_phase",
    ),
    "F37": (
        "tests/webapi/test_streams.py::test_malformed_number_is_a_422_that_names_where_it_stood",
        "tests/webapi/test_streams.py::test_resuming_gives_only_what_comes_after",
        "tests/webapi/test_streams.py::test_resuming_after_the_last_event_gives_nothing_more",
        "tests/webapi/test_streams.py::test_running_job_with_an_expired_stream_is_still_followed",
    ),
    "F42": ("tests/webapi/test_body.py", "tests/webapi/test_gunicorn.py"),
    "F50": (
        "tests/workers/test_gguf.py::test_header_changed_anywhere_is_read_or_refused",
        "tests/workers/test_gguf.py::test_header_with_extreme_numbers_is_read_or_refused",
    ),
    "F54": ("tests/flow/test_lanes.py::test_flower_shows_workers_and_tasks_but_no_prompt",),
}

# What can't be played on this machine, or has nothing to be played against yet.
MISSING = {
    "F43": "no request takes a schema or a grammar yet",
}


def proof(tests: Sequence[str]) -> Row:
    """A row that holds when these tests pass."""

    def run(ground: Ground) -> Tally:
        tally = Tally()
        argv = [sys.executable, "-m", "pytest", "--tb=line", "-rA", *tests]
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
        tally.fired = done.stdout.count("\nPASSED ")
        tally.injections = tally.fired + done.stdout.count("\nFAILED ") + done.stdout.count("\nERROR ")
        tally.promise(done.returncode == 0, done.stdout.strip().splitlines()[-1])
        tally.notes.append("by tests")
        return tally

    return run


def missing(why: str) -> Row:
    def run(_: Ground) -> Tally:
        raise NotHere(why)

    return run


ROWS: dict[str, Row] = {
    **{name: proof(tests) for name, tests in TESTS.items()},
    **{name: missing(why) for name, why in MISSING.items()},
}
