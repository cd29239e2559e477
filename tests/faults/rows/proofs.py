"""Rows that tests prove already: the program runs those tests and reports what they say."""

import subprocess
import sys
from collections.abc import Sequence

from tests.faults.checker import Tally
from tests.faults.ground import Ground, Row
from tests.support.platform import ROOT

# A row's tests, by node. Rows of other parts of the platform are added here with their tests.
TESTS: dict[str, Sequence[str]] = {
    "F27": (
        "tests/webapi/test_idempotency.py",
        "tests/webapi/test_ambiguity.py::test_client_that_lost_its_answer_asks_again_and_has_one_job",
    ),
    "F28": (
        "tests/tasks/sweep/test_sweeper.py::test_job_that_took_three_workers_with_it_is_poison",
        "tests/workers/stages/test_generation.py::test_job_whose_host_keeps_dying_is_poison_and_the_host_is_back",
        "tests/workers/stages/test_generation.py::test_neighbours_of_a_deadly_job_come_to_their_end",
        "tests/workers/engines/test_gguf.py::test_damaged_header_is_an_error_that_says_how",
    ),
    "F31": (
        "tests/tasks/sweep/test_sweeper.py::test_cancel_ends_a_job_once_whatever_its_state",
        "tests/tasks/jobs/test_jobs.py::test_another_tenants_job_is_as_unknown_as_none",
        "tests/workers/test_run.py::test_cancel_is_heard_at_once_and_by_the_heartbeat",
        "tests/workers/stages/test_generation.py::test_stop_ends_a_run_in_any_phase",
    ),
    "F37": (
        "tests/webapi/test_hostile.py::test_resuming_after_what_is_no_event_is_refused",
        "tests/webapi/test_isolation.py::test_events_are_read_by_number_within_ones_own_job",
        "tests/webapi/test_streams.py::test_malformed_number_is_a_422_that_names_where_it_stood",
        "tests/webapi/test_streams.py::test_resuming_gives_only_what_comes_after",
        "tests/webapi/test_streams.py::test_resuming_after_the_last_event_is_a_204",
        "tests/webapi/test_streams.py::test_running_job_with_an_expired_stream_is_still_followed",
    ),
    "F38": ("tests/workers/webhooks/test_outbound.py", "tests/workers/webhooks/test_courier.py"),
    "F41": ("tests/flow/test_walls.py::test_whatever_is_asked_is_answered_as_the_page_says",),
    "F42": (
        "tests/webapi/test_body.py",
        "tests/webapi/test_gunicorn.py",
        "tests/webapi/test_hostile.py::test_bombs_are_refused_on_every_route_that_reads_json",
    ),
    "F43": ("tests/webapi/test_hostile.py::test_grammars_and_engine_options_are_refused",),
    "F44": ("tests/webapi/test_isolation.py",),
    "F46": ("tests/webapi/test_mixing.py::test_cut_connections_give_nobody_anothers_answer",),
    "F47": (
        "tests/webapi/test_auth.py",
        "tests/webapi/test_mixing.py::test_revoked_key_ends_within_five_seconds_under_load",
        "tests/webapi/test_mixing.py::test_wrong_secrets_of_a_good_key_do_not_stop_it",
    ),
    "F50": (
        "tests/workers/engines/test_gguf.py::test_header_changed_anywhere_is_read_or_refused",
        "tests/workers/engines/test_gguf.py::test_header_with_extreme_numbers_is_read_or_refused",
    ),
    "F52": (
        "tests/webapi/test_hostile.py::test_damaged_heads_are_refused",
        "tests/webapi/test_hostile.py::test_no_page_of_another_origin_may_read_us",
        "tests/webapi/test_hostile.py::test_a_host_of_any_name_opens_nothing",
    ),
    "F53": ("tests/flow/test_walls.py::test_what_clients_say_is_found_in_its_tables_and_nowhere_else",),
    "F54": (
        "tests/flow/test_lanes.py::test_flower_shows_workers_and_tasks_but_no_prompt",
        "tests/flow/test_walls.py::test_flower_is_closed_without_its_password",
        "tests/flow/test_walls.py::test_flower_dies_and_nobody_misses_it",
        "tests/flow/test_walls.py::test_flower_without_a_password_does_not_start",
    ),
    "LOST-STREAMS": ("tests/webapi/test_streams_lost.py",),
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


ROWS: dict[str, Row] = {name: proof(tests) for name, tests in TESTS.items()}
